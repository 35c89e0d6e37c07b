"""What a generator covers: measures of its samples, and the floor, perfect samples' own."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import parallel
from genjax.core.beside import on_cores
from genjax.core.errors import UsageError
from genjax.gan.config import PROPOSALS
from genjax.gan.data import PAIRS, Task
from genjax.gan.method import Method
from genjax.gan.mixtures import Mixture
from genjax.gan.modes import bin_count
from genjax.gan.networks import Networks, pack
from genjax.gan.players import Recipe

# Of perfect samples: draws of quick measures, of those of neighbours, and of slow ones.
FLOOR_DRAWS, NEAR_DRAWS, SLOW_DRAWS = 20, 10, 5
# Latents of which slopes are measured, and so many at once. Where a latent is long, as a flow's is,
# which has as many numbers as an image, fewer: a Jacobian has a column for each.
LATENTS, SLOPES_AT_ONCE, COLUMNS = 300, 50, 10_000
# Packs of a batch where a logit depends on all of them.
BATCH = 64
UNITS = {
    "modes": "modes", "held": "modes", "reverse_kl": "nats", "reverse_kl_hq": "nats",
    "kl": "nats", "js": "nats", "mode_tv": "share", "precision": "share", "recall": "share",
    "coverage": "share", "recall_thinned": "share", "recall_lost": "share",
    "high_quality": "share", "full": "share of evaluations", "ndb": "share of bins",
    "vendi": "samples", "birthday_support": "samples", "log_jacobian": "log",
    "contrast": "of truth",
}  # fmt: skip
# Of two arms, the better.
BETTER: dict[str, str] = dict.fromkeys(
    ("precision", "recall", "coverage", "recall_thinned"), "more"
)


def floor(task: Task, count: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """{row: {measure: by draw}} of `count` perfect samples, `truth`, and of the task's controls.

    No generator can be asked to beat the truth. The controls have no slow measures.
    """
    cases = [
        # The stream of the truth is the older.
        (row, sample, draw, [seed, 4 if row == "truth" else 10 + number, draw])
        for number, (row, sample) in enumerate((task.controls | {"truth": task.perfect}).items())
        for draw in range(FLOOR_DRAWS if row == "truth" else NEAR_DRAWS)
    ]

    def of_draw(case):
        row, sample, draw, stream = case
        samples = sample(count, np.random.default_rng(stream))
        measures = task.quick(samples)
        if draw < NEAR_DRAWS:
            measures |= task.near(samples)
        if draw < SLOW_DRAWS and row == "truth":
            measures |= task.slow(samples, draw) | {"contrast": contrast(task, samples)}
        return measures

    found = {}
    for (row, *_), measures in zip(cases, on_cores(of_draw, cases), strict=True):
        for name, value in measures.items():
            found.setdefault(row, {}).setdefault(name, []).append(value)
    return found


def contrast(task: Task, found: np.ndarray, pairs: int = 2000) -> float:
    """Mean distance of two samples over that of two perfect ones: 0 when all outputs are one."""
    rng = np.random.default_rng(5)

    def mean_distance(x):
        x = x.reshape(len(x), -1)
        left, right = rng.integers(len(x), size=(2, pairs))
        return np.linalg.norm(x[left] - x[right], axis=1).mean()

    return float(mean_distance(found) / mean_distance(task.perfect(PAIRS, rng)))


def sampler(method: Method, count: int, key: jax.Array | None = None) -> Callable:
    """params -> samples [count, *shape], NumPy; by default the same latents and choices for all."""
    key = jax.random.key(2**31) if key is None else key
    some = jax.jit(lambda params, index: method.sample(params, key, index))
    size = max(1, PROPOSALS // method.passes)
    return lambda params: parallel.batched(partial(some, params), np.arange(count), size=size)


def sensitivity(method: Method, task: Task, measure: Callable, count: int = LATENTS) -> Callable:
    """params -> measure(Jacobians [b, values, latent]) [count, ...] of the generator, NumPy.

    In units of the data's spread a unit of the latent; the same latents for all. Low singular
    values are the symptom "different inputs, same output".
    """
    count = min(count, max(8, COLUMNS // method.latent))
    z = jax.jit(method.latents)(jax.random.key(2**31 + 1), jnp.arange(count))

    @jax.jit
    def some(params, rows):
        def generate(noise, code):
            return method.generate(params, jnp.concatenate([noise, code])[None]).ravel()

        noise, code = rows[:, : method.latent], rows[:, method.latent :]
        return measure(jax.vmap(jax.jacfwd(generate))(noise, code) / task.spread)

    return lambda params: parallel.batched(
        partial(some, params), np.asarray(z), size=SLOPES_AT_ONCE
    )


def log_norm(jacobians: jax.Array) -> jax.Array:
    """The logarithm of each Frobenius norm, at least that of 1e-12."""
    return jnp.log(jnp.maximum(jnp.sqrt((jacobians**2).sum((1, 2))), 1e-12))


def judge(networks: Networks, recipe: Recipe, params, x: jax.Array) -> jax.Array:
    """The discriminator's logits [groups, b] of packs of samples [groups, b, pack, *shape]."""
    if recipe.reconstruction:
        x = jnp.concatenate([x, networks.reconstruct(params["reconstructor"], x)], -1)
    outputs = networks.discriminate(
        params["discriminator"], pack(x), parallel.identity, parallel.identity
    )
    return outputs[..., 0]


def landscape(
    networks: Networks,
    recipe: Recipe,
    params,
    task: Task,
    mixture: Mixture,
    side: int = 101,
) -> dict[str, np.ndarray]:
    """The discriminator's logit over a square: each point in a pack of real ones, a mean over 16.

    Where a logit depends on the batch, a point is judged among BATCH - 1 packs of real points.
    """
    reach = 1.25 * np.abs(mixture.means).max() + 3 * mixture.sigma
    axis = np.linspace(-reach, reach, side, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    draws, batch = (16, 1) if networks.separate else (1, BATCH)
    real = task.perfect(draws * batch * recipe.pack, np.random.default_rng(0))

    @jax.jit
    def logits(params, real, points):
        batches = jnp.broadcast_to(real, (len(points), *real.shape)).at[:, 0, 0].set(points)
        return judge(networks, recipe, params, batches)[:, 0]

    made = [
        parallel.batched(partial(logits, params, some), points, size=PROPOSALS // batch)
        for some in real.reshape(draws, batch, recipe.pack, 2)
    ]
    values = np.mean(made, 0).reshape(side, side)
    # What counts as neither real nor generated.
    origin = np.asarray(np.median(values) if recipe.loss.shift_invariant else 0.0)
    return {"landscape": values, "landscape_axis": axis, "landscape_origin": origin}


def fallen(before: list[dict], now: dict[int, float], modes: int) -> list[int]:
    """The seeds that have lost modes which they had: a tenth of all, or of few modes one.

    A mode of small share comes and goes with the samples. before: rows {"seed", "modes"}. now:
    {seed: modes reached}.
    """
    most = dict(now)
    for row in before:
        most[row["seed"]] = max(most[row["seed"]], row["modes"])
    return [seed for seed in now if most[seed] - now[seed] >= max(1, 0.1 * modes)]


def check_count(count: int, points: int, task_modes: int) -> None:
    """Raises UsageError where there are too few samples, or points, for the measures."""
    if points < bin_count(task_modes):
        raise UsageError(
            f"--points={points}: fewer than the {bin_count(task_modes)} bins that they make"
        )
    needed, what = max((100, "measures of neighbours"), (2 * task_modes, f"{task_modes} modes"))
    if count < needed:
        raise UsageError(f"--eval_samples={count}: {what} need {needed} samples or more")

"""Training an arm: from scratch, or from what another ended with. `train` reads from top to bottom.

Arms that differ in data or rate alone share their compiled programs, and an arm's end is an Orbax
checkpoint that others start from.
"""

import contextlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from genjax.attention import blocks
from genjax.core import machine, parallel, processes, steps, stream, training
from genjax.core.checkpoints import Checkpoints
from genjax.core.errors import UsageError
from genjax.core.loop import Schedule
from genjax.core.progress import say
from genjax.domains import data, networks
from genjax.domains.config import Arm, Config
from genjax.domains.job import Job
from genjax.domains.names import weights
from genjax.lm import finetune, per_domain
from genjax.lm.spread import parts_in_cache
from genjax.lm.transformer import Large, Model

# Windows of the old domains that the Fisher information is estimated on.
FISHER_WINDOWS = 64
# Bytes of windows that a call may be filled up with, so that arms of fewer steps a call share the
# program of those of more: a few milliseconds.
FILLED = 2**24


def train(job: Job, folder, name: str):
    """The parameters [seeds, ...] of a trained arm, on the host; None for an n-gram.

    Trains, or continues, in a run folder. Raises UsageError where what it starts from lacks.
    """
    config, arm = job.config, job.arms[name]
    if arm.model == "ngram":
        return None
    method, made = method_of(job, name), programs(job, name)
    base = started_from(job, folder, name, "from", arm.from_) if arm.from_ else None
    fisher = made.fisher(base, old_windows(job, name)) if method.ewc else None
    reference = started_from(job, folder, name, "dro", arm.dro) if arm.dro else None
    rates = np.full(config.seeds, arm.learning_rate, np.float32)

    proxy = folder.read_json(f"mixtures/{arm.proxy}.json") if arm.proxy else None
    if arm.proxy and proxy is None:
        say(f"mixtures/{arm.proxy}.json is missing; made again from the checkpoints of {arm.proxy}")
        train(job, folder, arm.proxy)
        proxy = folder.read_json(f"mixtures/{arm.proxy}.json")
    validate, when = watch(job, name, made.merge), schedule(job, name)
    batches = with_steps(job.windows(name, proxy, made.step.own), when.steps)
    ahead = stream.ahead(batches, when.steps, step_bytes(job))
    with ahead if job.draw else contextlib.nullcontext(batches) as batches:
        state = training.train(
            folder,
            name,
            made.step,
            made.begin(np.asarray(config.all_seeds), base, fisher, reference, rates),
            when,
            batches,
            validate=validate,
        )

    if arm.dro:
        folder.write_json(f"mixtures/{name}.json", mean_weights(job, name, state.params))
    params = jax.device_get(made.merge(state.params))
    if arm.average < 1:
        assert base is not None  # Arm.check asks for --from.
        params = finetune.average(base, params, arm.average)
    # A run that was killed while measuring has saved it already.
    place = folder.path / "models" / name
    shutil.rmtree(place, ignore_errors=True)
    kept = Checkpoints(place, keep=1, owner=folder.owner(f"models/{name}"))
    kept.save(arm.steps, params)
    kept.close()
    folder.enter(f"models/{name}/{arm.steps}")
    return params


def step_bytes(job: Job) -> int:
    """Of the windows of a step of all seeds."""
    return 4 * job.config.seeds * job.config.batch_size * (job.source.length + 3)


def schedule(job: Job, name: str) -> Schedule:
    """When an arm's training logs, saves and validates."""
    return training.schedule(
        job.config, steps=job.arms[name].steps, evaluations=job.config.evaluations
    )


def call_schedule(job: Job, name: str) -> Schedule:
    """The schedule that the length of an arm's calls follows: of the arms with the longest.

    Its own where filling its calls up to those would cost time.
    """
    own = schedule(job, name)
    cheap = FILLED // step_bytes(job)
    others = (schedule(job, other) for other, arm in job.arms.items() if arm.model != "ngram")
    fitting = (when for when in others if when.log_every <= cheap)
    return max((own, *fitting), key=lambda when: when.log_every)


def with_steps(batches: Callable, steps: int) -> Callable:
    """`data.batches`, and behind each window how many steps its training has: [..., length + 3].

    It stands there and not in the state, so that checkpoints are those of before; behind padding
    too, so that every device's share of a batch says it.
    """

    def read(first, count):
        windows = batches(first, count)
        return np.concatenate([windows, np.full_like(windows[..., :1], steps)], -1)

    return read


class Programs(NamedTuple):
    """The compiled programs of an arm.

    step: a training step. start: (seeds, base, fisher, reference, rates) -> the first state, not
    compiled; all have leaves [seeds, ...], and the trees in the middle may be None. begin: the
    same on the devices. merge: the state's parameters -> the model's. fisher: (base, windows) ->
    the diagonal Fisher information.
    """

    step: parallel.Compiled
    start: Callable
    begin: Callable
    merge: Callable
    fisher: Callable


def programs(job: Job, name: str) -> Programs:
    """The programs of an arm; those that differ in data, rate or steps alone share them."""
    config, arm = job.config, job.arms[name]
    network, method = job.network(name), method_of(job, name)

    def one(seed, base, fisher, reference, rate):
        key = jax.random.key(seed)
        base = network.init(key) if base is None else base
        params = finetune.start(key, base, method, fisher, reference)
        return steps.init_state(params, optimizer(arm, method, arm.steps, rate))

    def make():
        large, net, source = Large(config.remat, split_over(job, name)), network, job.source
        if large != Large():
            net = networks.build(arm, source.vocabulary, source.length, config.precision, large)
        needs = training.needs(config, call_schedule(job, name), rows=config.context)
        most = stream.steps_per_call(step_bytes(job)) if job.draw else 0
        step = parallel.compile_step(
            step_of(config, arm, method, net, large.parts),
            {},
            config.all_seeds,
            config.batch_size,
            mode=config.parallel,
            needs=needs._replace(fsdp=large.parts, most_steps=most),
            take=take_windows,
        )
        start, merged = jax.vmap(one), partial(finetune.merged, method=method)
        return Programs(
            step=step,
            start=start,
            begin=step.begin(start),
            # What nothing is added to is on the host, and no program need hold it.
            merge=jax.jit(jax.vmap(merged)) if method.train == "lora" else merged,
            fisher=jax.jit(jax.vmap(partial(finetune.fisher, network.apply))),
        )

    return job.once(program_key(job, name), make)


def program_key(job: Job, name: str) -> tuple:
    """What arms that share their programs agree in."""
    arm, every = job.arms[name], call_schedule(job, name).log_every
    kind = arm.optimizer, arm.weight_decay
    return job.network(name).apply, method_of(job, name), *kind, every


def step_of(config: Config, arm: Arm, method: finetune.Method, net: Model, parts: int) -> Callable:
    """The training step of an arm, whose network's parameters are in so many parts.

    How many steps there are stands in the batch, so that other lengths need no other program.
    """

    def step(state, batch, key, *, total, gather):
        length = batch["steps"].max()  # All say the same.
        made = steps.training_step(
            finetune.loss(net.apply, method, arm.depth, net.losses),
            optimizer(arm, method, length),
            microbatches=partial(microbatches, config, arm),
            parts=parts,
        )
        return made(state, batch, key, total=total, gather=gather)

    return step


def microbatches(config: Config, arm: Arm, rows: int) -> int:
    """Parts that a device's batch of so many rows is computed in; DRO sees it as a whole."""
    asked = config.microbatches
    if arm.model != "transformer" or arm.dro or blocks.platform() != "cpu":
        return asked
    return parts_in_cache(rows, config.context * arm.width * arm.depth, asked)


def split_over(job: Job, name: str) -> int:
    """Devices that share one copy of an arm's parameters: --mesh's, else as many as it takes."""
    config, devices = job.config, jax.devices()
    if config.mesh or len(devices) == 1 or devices[0].platform == "cpu":
        return max(1, config.fsdp)
    # Parameters, two moments, gradients; seeds side by side have one each.
    seeds = -(-config.seeds // len(devices))
    needed = 16.0 * seeds * job.size(name)["parameters"]
    free = min(processes.gather(machine.memory_free()))
    rows = config.batch_size // config.microbatches
    found = networks.split_over(needed, free, len(devices), rows)
    try:
        config.replace(mesh=f"fsdp:{found}")
    except UsageError:  # Of a method that needs whole parameters.
        return 1
    if found > 1:
        gigabytes = f"{needed / 1e9:.1f} GB do not fit into {free / 1e9:.1f}"
        say(f"{name}: parameters and moments of {gigabytes}: --mesh=fsdp:{found}")
    return found


def method_of(job: Job, name: str) -> finetune.Method:
    """What trains, and what is added to the loss."""
    arm = job.arms[name]
    rank = arm.lora_rank if arm.train == "lora" else 0
    dro = len(job.trained_on[name]) if arm.dro else 0
    return finetune.Method(arm.train, rank, arm.ewc, arm.anchor, dro)


def optimizer(
    arm: Arm, method: finetune.Method, length: int | jax.Array, rate=0.0
) -> optax.GradientTransformation:
    """Its rate is part of the state, so that other rates need no other program.

    length: steps of the training.
    """
    kinds = {"muon": optax.contrib.muon, "adamw": optax.adamw}

    def make(learning_rate):
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            kinds[arm.optimizer](
                lambda count: learning_rate * share_of_peak(count, length),
                weight_decay=arm.weight_decay,
            ),
        )

    inner = optax.inject_hyperparams(make)(learning_rate=rate)
    return finetune.optimizer(inner, method, arm.depth, length)


def share_of_peak(count, length) -> jax.Array:
    """The learning rate's share of its peak at step `count` of `length`, both integers.

    It warms up for a twentieth of the steps and falls to a twentieth by a cosine. Optax's
    `warmup_cosine_decay_schedule` takes no traced length; rounding is as XLA's of it.
    """
    warm = length // 20 + 1
    per_warm, per_rest = (1.0 / jnp.float32(n) for n in (warm, length + 1 - warm))
    rising = 1.0 - (1.0 - jnp.float32(count) * per_warm)
    angle = jnp.float32(count - warm) * (np.float32(np.pi) * per_rest)
    return jnp.where(count < warm, rising, 0.475 * (1.0 + jnp.cos(angle)) + 0.05)


def take_windows(arrays, windows) -> dict:
    """The batch of what `with_steps` reads, [b, length + 3]; padding is -1, but for its steps."""
    del arrays
    real = windows[:, 0] >= 0
    tokens = jnp.maximum(windows[:, :-2], 0)
    return {
        "tokens": tokens[:, :-1],
        "target": tokens[:, 1:],
        "domain": windows[:, -2],
        "steps": windows[:, -1],
        "weight": real.astype(jnp.float32),
    }


def kept_params(folder: Path, network: Model, seeds: list[int], owner: str = ""):
    """The model [seeds, ...] that an arm left in models/<arm>; None where there is none of it.

    owner: as in Checkpoints.
    """
    like = jax.eval_shape(jax.vmap(network.init), jax.vmap(jax.random.key)(np.asarray(seeds)))
    like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    kept = Checkpoints(folder, keep=1, owner=owner)
    _, found = kept.restore(like, say, set_aside=False)
    kept.close()
    # Orbax reads an array of any shape.
    shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (like, found)]
    return found if shapes[0] == shapes[1] else None


def started_from(job: Job, folder, name: str, option: str, other: str):
    """The trained parameters that an arm starts from, or (option `dro`) compares with."""
    seeds, own = job.config.all_seeds, other in job.arms
    place = folder.path / "models" / other if own else Path(other)
    owner = folder.owner(f"models/{other}") if own else ""
    found = kept_params(place, job.network(name), seeds, owner)
    if found is None and own:
        say(f"{place} is damaged or missing; made again from the checkpoints of {other}")
        return train(job, folder, other)
    if found is None:
        raise UsageError(
            f"--arm={name}: --{option}={other}: no whole checkpoint of {len(seeds)} seeds and of "
            "this shape; name a folder <run>/models/<arm>, and that run's shape and seeds"
        )
    return found


def old_windows(job: Job, name: str) -> np.ndarray:
    """Windows [seeds, n, length + 1] of the training text of what was trained on before."""
    names = job.trained_before[name]
    even = weights(names, [1] * len(names), "uniform")
    drawn = data.batches(job.sources, even, FISHER_WINDOWS, seeds=[0] * len(job.sources))
    return drawn(0, 1)[0, :, :, :-1]


def mean_weights(job: Job, name: str, params) -> dict[str, list[float]]:
    """{domain: [seeds]} of group DRO, averaged over training."""
    mean = np.asarray(jax.device_get(params["weights"]["mean"]), float)
    # Thousands of sums in float32 are off by more than a mixture may be.
    mean = (mean / mean.sum(-1, keepdims=True)).T.tolist()
    return dict(zip(job.trained_on[name], mean, strict=True))


def watch(job: Job, name: str, merge: Callable) -> Callable:
    """Losses along training: the valid text of what the arm trains on, and tests of all groups.

    What is chosen along training (`arms.stopped`) is chosen by `valid_new` alone; `test_new`,
    `test_old`, `test_unseen` and `test/<domain>` say what that choice is worth.
    """
    source, watched = job.source, job.config.watched
    groups = {"new": job.trained_on[name], "old": job.trained_before[name]}
    seen = sum(groups.values(), [])
    groups["unseen"] = [domain for domain in source.held_out if domain not in seen]
    cases = [("valid", domain) for domain in groups["new"]]
    cases += [("test", domain) for domain in sum(groups.values(), [])]
    windows, counts, owner = [], [], []
    for split, domain in cases:
        found = job.measured(domain, split)
        there = found.windows.shape[-2]
        pick = np.linspace(0, there - 1, min(watched, there)).astype(int)
        windows.append(found.windows[..., pick, :])
        counts.append(found.scored[pick] * found.tokens_per_unit)
        owner += [(split, domain)] * len(pick)
    windows, counts = np.concatenate(windows, -2), np.concatenate(counts)
    measure = job.meter(name, per_domain.meter)

    def of(split, names):
        return np.array([o[0] == split and o[1] in names for o in owner])

    parts = {"valid_new": of("valid", groups["new"])}
    parts |= {f"test_{group}": of("test", names) for group, names in groups.items()}
    parts |= {f"test/{domain}": of("test", [domain]) for split, domain in cases if split == "test"}

    def validate(state):
        bits = measure(jax.device_get(merge(state.params)), windows)[0] * counts
        return {
            part: [float(row[which].sum() / (counts[which] > 0).sum()) for row in bits]
            for part, which in parts.items()
            if which.any()
        }

    return validate

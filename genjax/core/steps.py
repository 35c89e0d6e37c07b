"""State, the training step, and the objectives it descends.

An objective is `loss(params, batch, key, gather, **weights) -> (losses [batch], metrics)`:
everything per example, so that the step alone reduces over the batch, with sums and counts that
`total` adds up over devices. Noise belongs to an example, not to its place in the batch: one device
and eight, a run and its continuation draw the same numbers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from genjax.core import fsdp, threefry
from genjax.core.errors import UsageError


class State(NamedTuple):
    """All that training carries, and all that a checkpoint holds.

    weights: numbers of the objective by name, such as beta. They stay as they are; as a part of the
    state they are no constants of the program, so that runs that differ in them alone are one, and
    compiled once.
    """

    step: Array
    params: Any
    opt_state: optax.OptState
    weights: dict[str, Array] = {}


def init_state(
    params, optimizer: optax.GradientTransformation, weights: dict[str, float] | None = None
) -> State:
    """The state before the first step; a weight of 0 is not part of it (`arguments`)."""
    return State(jnp.zeros((), jnp.int32), params, optimizer.init(params), arguments(weights or {}))


def arguments(weights: dict[str, float]) -> dict[str, Array]:
    """Those weights of an objective that are arguments of its program: without a term of weight 0
    the program is another."""
    return {name: jnp.float32(value) for name, value in weights.items() if value}


def example_noise(
    draw: Callable, key: Array, stream: int, index: Int[Array, " b"], shape: tuple[int, ...]
) -> Array:
    """draw(key, shape) for each example: [b, *shape], a function of (key, stream, index) alone."""
    key = jax.random.fold_in(threefry.written_out(key), stream)
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i), shape))(index)


def training_step(
    loss: Callable,
    optimizer: optax.GradientTransformation,
    *,
    reduction: str = "mean",
    prepare: Callable | None = None,
    microbatches: int | Callable[[int], int] = 1,
    parts: int = 1,
) -> Callable:
    """The step contract, step(state, batch, key, *, total, gather) -> (state, metrics).

    batch: `image` [b, h, w, c], `label` [b], `index` [b] (an example's number in the data set) and
        `weight` [b] (0 for the padding of a last, uneven batch).
    key: the seed's root key; the step folds in its own number.
    total, gather: sum a pytree, concatenate an array over the devices that share the batch.
    reduction: `mean`, or `sum` of the gradient over the batch (the IWAE code's convention).
    prepare: (the step's key, batch) -> batch, what is drawn anew at every use.
    microbatches: parts of a device's batch whose gradients are computed one after the other; each
        has the memory of one alone. `gather` then sees one at a time. Or (rows) -> how many.
    parts: devices that the parameters are split over (core.fsdp); they share the batch, too.
    """

    def step(state: State, batch: dict, key: Array, *, total: Callable, gather: Callable):
        step_key = jax.random.fold_in(key, state.step)
        batch = prepare(step_key, batch) if prepare else batch

        def gradient(params, batch):
            def objective(params):
                values, metrics = loss(params, batch, step_key, gather, **state.weights)
                metrics = {"loss": values} | metrics
                weight = batch["weight"]
                sums = {k: (weight * v).sum() for k, v in metrics.items()}
                return (weight * values).sum(), (sums, weight.sum())

            return jax.grad(objective, has_aux=True)(params)

        def summed(params, batch):
            return total(in_turn(gradient, microbatches)(params, batch))

        everywhere = fsdp.over_parts(summed, parts) if parts > 1 else summed
        grads, (sums, count) = everywhere(state.params, batch)
        if reduction == "mean":
            # Not g / count: XLA gives a division a pass of its own over all gradients.
            grads = jax.tree.map(lambda g, share=1 / count: share * g, grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        moved = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return fsdp.split(moved, parts), {k: v / count for k, v in sums.items()}

    return step


def in_turn(gradient: Callable, microbatches: int | Callable[[int], int]) -> Callable:
    """gradient(params, batch) -> sums, added up over so many parts of the batch, one at a time.

    Raises UsageError where they are not even.
    """

    def run(params, batch):
        rows = len(batch["weight"])
        count = microbatches(rows) if callable(microbatches) else microbatches
        if count == 1:
            return gradient(params, batch)
        if rows % count:
            raise UsageError(
                f"--microbatches={count}: does not divide the {rows} examples of a device"
            )
        parts = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
        first = jax.tree.map(lambda x: x[0], parts)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, params, first)
        )

        def add(sums, part):
            return jax.tree.map(jnp.add, sums, gradient(params, part)), None

        return jax.lax.scan(add, zeros, parts)[0]

    return run


def with_peak(
    make: Callable[[optax.Schedule], optax.GradientTransformation],
    rate: float,
    share: optax.Schedule,
) -> optax.GradientTransformation:
    """make(a schedule) that has `share` by step of a peak rate, which is part of the state.

    So runs that differ in their rates alone are one program, and compiled once.
    """

    def of_peak(learning_rate):
        return make(lambda step: learning_rate * share(step))

    return optax.inject_hyperparams(of_peak)(learning_rate=rate)


def schedule(name: str, steps: int) -> optax.Schedule:
    """The learning rate's share of its peak by step: `constant`, `cosine` to zero, or `burda`.

    `burda`: 3^i passes at 10^(-i/7) for i = 0..7, 3,280 passes in all (Burda et al. 2016, section
    5), stretched or shrunk to `steps`.
    """
    if name == "constant":
        return optax.constant_schedule(1.0)
    if name == "cosine":
        return optax.cosine_decay_schedule(1.0, steps)
    passes = [3**i for i in range(8)]
    edges = jnp.asarray([steps * sum(passes[: i + 1]) / sum(passes) for i in range(7)])
    return lambda step: 10.0 ** (-jnp.sum(step >= edges) / 7)

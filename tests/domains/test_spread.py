"""How a large model is spread: what is refused, and what the step says to other devices."""

import math

import jax
import jax.extend.core as jex
import pytest

from genjax.benchmark import described
from genjax.core.errors import UsageError
from genjax.domains import networks
from genjax.domains.config import Config

REFUSED = [
    ({"mesh": "fsd:8"}, "--mesh=fsd:8: no axis 'fsd'; did you mean fsdp"),
    ({"mesh": "fsdp"}, "--mesh=fsdp: 'fsdp:<number of devices>'"),
    ({"mesh": "fsdp:0"}, "--mesh=fsdp:0: 'fsdp:<number of devices>'"),
    ({"mesh": "fsdp:2,fsdp:2"}, "--mesh=fsdp:2,fsdp:2: fsdp is named twice"),
    ({"mesh": "fsdp:3"}, "--batch_size=16: a multiple of --microbatches x fsdp = 3"),
    ({"microbatches": 8, "mesh": "fsdp:4"}, "--batch_size=16: .* = 32"),
    ({"mesh": "fsdp:4", "parallel": "pmap"}, "--mesh=fsdp:4: needs --parallel=jit"),
    ({"mesh": "fsdp:4", "model": "lstm"}, "--mesh=fsdp:4: of transformers; --model=lstm"),
    ({"remat": "full", "model": "gru"}, "--remat=full: of transformers; --model=gru"),
    (
        {"mesh": "fsdp:4", "variants": {"a": {}, "b": {"from": "a", "train": "lora"}}},
        "--arm=b: --mesh=fsdp:4: --train=lora needs whole parameters",
    ),
    (
        {
            "mesh": "fsdp:4",
            "variants": {"a": {}, "b": {"from": "a", "domains": "s0l0", "ewc": 1.0}},
        },
        "--arm=b: --mesh=fsdp:4: --ewc=1.0 needs whole parameters",
    ),
    (
        {"microbatches": 2, "variants": {"a": {}, "b": {"dro": "a"}}},
        "--arm=b: --microbatches=2: --dro=a weighs by the whole batch",
    ),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_what_cannot_be_spread_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        Config(**options)
    # The same where nothing is spread.
    Config(**options | {"mesh": "", "microbatches": 1, "remat": "none"})


def test_a_copy_takes_the_fewest_devices_that_hold_it_in_half_of_their_memory():
    found = [networks.split_over(needed, 16e9, 64, 32) for needed in (8e9, 9e9, 20e9, 64e9, 1e12)]
    assert found == [1, 2, 4, 8, 32]
    assert networks.split_over(20e9, 16e9, 6, 32) == 2


def sent(mesh: str):
    """{collective: [(type, numbers)]} of an arm's step on four devices, in half precision."""
    config = Config(
        width=16, depth=2, context=16, shots=(), seeds=1, batch_size=16, mesh=mesh,
        precision="bfloat16",
    )  # fmt: skip
    program, shapes, *_ = described.lm(config, 64, jax.devices()[:4])
    found = {"psum": [], "all_gather": [], "reduce_scatter": []}

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            for name in found:
                if equation.primitive.name.startswith(name):
                    found[name] += [(v.aval.dtype, v.aval.size) for v in equation.invars]
            for inner in jex.jaxprs_in_params(equation.params):
                walk(inner)

    walk(program.function.trace(*shapes).jaxpr.jaxpr)
    return found, sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes[0].params))


def test_devices_send_gradients_in_float32_and_gather_what_is_split_alone():
    whole, parameters = sent("")
    assert not whole["all_gather"] and not whole["reduce_scatter"]
    assert {str(kind) for kind, _ in whole["psum"]} == {"float32"}
    # Gradients, loss, accuracy and the count, once.
    assert sum(size for _, size in whole["psum"]) == parameters + 3

    split, _ = sent("fsdp:4")
    assert {str(kind) for kind, _ in split["psum"] + split["reduce_scatter"]} == {"float32"}
    matrices = 12 * 16 * 16
    # A block's four matrices and the embeddings, whole; the blocks are one program.
    assert sum(size for _, size in split["reduce_scatter"]) == matrices + 64 * 16
    # Gathered again for the gradient. XLA for TPUs rounds before it sends.
    assert sum(size for _, size in split["all_gather"]) == (2 * matrices + 64 * 16) // 4

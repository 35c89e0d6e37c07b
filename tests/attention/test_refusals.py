"""What no variant can be, said in a line; and the largest that one can."""

import pytest

from genjax import attention
from genjax.core.errors import UsageError

DIM = 16


@pytest.mark.parametrize(
    ("name", "options", "said"),
    (
        ("sparse_dense", {}, "unknown; did you mean sparse_"),
        ("sparse_fixed", {"causal": True, "summary": 300}, "--summary=300"),
        ("sparse_strided", {"causal": False}, "is causal by definition"),
        ("bigbird", {"block": 48}, "--block=48: does not divide the length 100"),
        ("longformer", {"global_positions": (100,)}, "--global_positions=100"),
        ("flash", {"implementation": "cudnn"}, "needs a CUDA GPU; take auto or tiles"),
        ("flash", {"implementation": "blcks"}, "choose from auto, tiles, splash, cudnn"),
        ("bigbird", {"causal": True}, "is not causal"),
    ),
)
def test_what_cannot_be_is_said(name, options, said):
    with pytest.raises(UsageError, match=said):
        attention.build(name, 100, DIM, **({"causal": False} | options))


@pytest.mark.parametrize(
    ("name", "length", "options"),
    (
        ("bigbird", 2**20, {"block": 1}),
        ("bigbird", 2**20, {"random_blocks": 2**20}),
        ("longformer", 2**22, {"window": 2}),
        ("longformer", 2**22, {"dilation": 2**20}),
        ("sparse_fixed", 2**22, {"causal": True, "stride": 64}),
        ("truncated", 2**22, {"keep": 2**22}),
    ),
)
def test_a_table_without_end_is_refused(name, length, options):
    with pytest.raises(UsageError, match=f"--variants={name}: .* at most .*{[*options][-1]}"):
        attention.build(name, length, DIM, **({"causal": False} | options))


def test_bigbird_of_a_million_positions_has_its_blocks():
    variant = attention.build("bigbird", 2**20, DIM, causal=False)
    rows = variant.pattern.parts[1].tiles
    # As many random blocks as asked for, of those that are not seen anyway.
    assert all(len(set(row)) == 8 for row in rows[1:-1:500])

"""What is read from a compiled program's text, against programs whose work is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from genjax.core import hlo


def program(function, *shapes, dtype=jnp.float32):
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    return hlo.Program(jax.jit(function).lower(*arguments).compile().as_text())


def test_a_product_is_two_flops_a_multiply_add():
    assert program(jnp.matmul, (64, 48), (48, 80)).flops() == 2 * 64 * 48 * 80


def test_batches_and_gradients_count():
    def loss(a, b):
        return jnp.sin(jnp.einsum("bij,bjk->bik", a, b)).sum()

    found = program(jax.grad(loss, (0, 1)), (3, 64, 48), (3, 48, 80))
    assert found.flops() == 3 * 2 * 3 * 64 * 48 * 80


def twice(x, w):
    """Five products in a loop of seven."""

    def inner(x, _):
        return jnp.tanh(x @ w), None

    def outer(x, _):
        return jax.lax.scan(inner, x, None, 5)[0], None

    return jax.lax.scan(outer, x, None, 7)[0]


def test_a_loop_counts_as_often_as_it_runs():
    found = program(twice, (64, 64), (64, 64))
    assert found.flops() == 35 * 2 * 64**3
    # As the text of a TPU, which does not say how often: by the conditions.
    for own in found.computations.values():
        for name, one in own.items():
            own[name] = one._replace(rest=one.rest.replace("known_trip_count", "unknown"))
    assert found.flops() == 35 * 2 * 64**3


def test_a_loop_of_unknown_length_counts_once():
    def many(x, count):
        return jax.lax.fori_loop(0, count.astype(int).sum(), lambda _, x: jnp.tanh(x @ x), x)

    found = program(many, (64, 64), (1,))
    assert found.flops() == 2 * 64**3
    found.trips = 9
    assert found.flops() == 9 * 2 * 64**3


@pytest.mark.parametrize("padding", ("SAME", "VALID"))
def test_a_convolution_counts_what_falls_on_pixels(padding):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    ones = jnp.ones((1, 13, 13, 1)), jnp.ones((5, 5, 1, 1))
    taps = float(convolve(*ones).sum())  # Pixels under the kernel, over all places.
    found = program(convolve, (4, 13, 13, 64), (5, 5, 64, 32))
    assert found.flops() == 2 * 4 * 64 * 32 * taps


def test_a_product_that_a_tpu_writes_as_a_convolution():
    text = """HloModule a
ENTRY %main (a: bf16[8,128,64], b: bf16[8,64,32]) -> bf16[8,128,32] {
  %a = bf16[8,128,64]{2,1,0:T(8,128)(2,1)} parameter(0)
  %b = bf16[8,64,32]{2,1,0:T(8,128)(2,1)} parameter(1)
  ROOT %c = bf16[8,128,32]{2,1,0:T(8,128)(2,1)} convolution(%a, %b), WINDOW, LABELS
}
"""
    text = text.replace("WINDOW", "window={size=8 stride=7 lhs_dilate=8}")
    text = text.replace("LABELS", "dim_labels=0bf_0io->0bf")
    assert hlo.Program(text).flops() == 2 * 8 * 128 * 64 * 32


def test_collectives_say_their_kind_type_bytes_and_devices():
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("a", "b"))

    def inside(x):
        def step(x, _):
            return jax.lax.psum(x, "b") / 2, None

        x = jax.lax.scan(step, x, None, 3)[0]
        return jax.lax.all_gather(x.astype(jnp.bfloat16), ("a", "b"), tiled=True)

    shard = jax.shard_map(inside, mesh=mesh, in_specs=P("a"), out_specs=P(), check_vma=False)
    sums, gathers = program(shard, (32, 8)).collectives()
    assert (sums.kind, sums.devices, sums.times) == ("all-reduce", 2, 3)
    assert sums.arrays == [hlo.Array("f32", (16, 8))]
    assert (gathers.kind, gathers.devices, gathers.times) == ("all-gather", 4, 1)
    assert gathers.bytes in (4 * 16 * 8 * 2, 4 * 16 * 8 * 4)  # XLA:CPU may gather in float32.


# A loop of five rounds inside one of three, and both in one of which a TPU's compiler says nothing.
LOOPS = """HloModule jit_f

%body.1 (p: f32[]) -> f32[] {
  %start = (bf16[4,8]{1,0}, bf16[4,8]{1,0}, u32[], u32[]) collective-permute-start(%x), channel_id=1
  %done = bf16[4,8]{1,0} collective-permute-done(%start)
}

%three.2 (p: (s32[], f32[4])) -> pred[] {
  %bound = s32[]{:T(128)} constant(3), metadata={op_name="jit(f)"}
  ROOT %lt = pred[] compare(%counter, %bound), direction=LT
}

%given.2 (p: (s32[], s32[], f32[4])) -> pred[] {
  ROOT %lt = pred[] compare(%counter, %count), direction=LT
}

%round.3 (p: f32[]) -> f32[] {
  %w = f32[] while(%p), condition=%c, body=%body.1, backend_config={"known_trip_count":{"n":"5"}}
  %a = (f32[2,3]{1,0}, s32[7]{0}) all-reduce(%x, %y), to_apply=%sum
}

%step.3 (p: f32[]) -> f32[] {
  %w2 = (s32[], f32[4]) while(%p), condition=%three.2, body=%round.3
}

%branch (p: f32[]) -> f32[] {
  %g = f32[16]{0} all-gather(%x), dimensions={0}
}

ENTRY %main.4 (p: f32[]) -> f32[] {
  %w3 = (s32[], s32[], f32[4]) while(%p), condition=%given.2, body=%step.3
  %c = f32[] conditional(%i, %p, %p), BRANCHES
}
"""


@pytest.mark.parametrize("steps", (1, 10))
@pytest.mark.parametrize(
    "branches",
    ("branch_computations={%none, %branch}", "true_computation=%none, false_computation=%branch"),
)
def test_instructions_count_as_often_as_their_loops_run(steps, branches):
    found = hlo.Program(LOOPS.replace("BRANCHES", branches), trips=steps).collectives()
    assert [(one.kind, one.times, one.bytes) for one in found] == [
        ("collective-permute", 15 * steps, 4 * 8 * 2),
        ("all-reduce", 3 * steps, (6 + 7) * 4),
        ("all-gather", 1, 64),
    ]


def test_of_an_asynchronous_gather_what_arrives_counts():
    text = """HloModule a
ENTRY %main (x: f32[4,8]) -> f32[32,8] {
  %x = f32[4,8]{1,0} parameter(0)
  %s = (f32[4,8]{1,0}, f32[32,8]{1,0}) all-gather-start(%x), replica_groups=[1,8]<=[8]
  ROOT %d = f32[32,8]{1,0} all-gather-done(%s)
}
"""
    (found,) = hlo.Program(text).collectives()
    assert (found.kind, found.bytes, found.devices) == ("all-gather", 32 * 8 * 4, 8)


def test_constants_are_counted():
    table = np.random.default_rng(0).random((1000, 100), np.float32)
    assert 400_000 <= program(lambda x: x @ table, (3, 1000)).constants() < 401_000


def test_a_callback_is_seen():
    def asks(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    assert program(asks, (3,)).calls_home()
    assert not program(jnp.sin, (3,)).calls_home()


def test_products_by_shape():
    def layers(x, ws):
        x = jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, ws)[0]
        return jnp.einsum("hid,hjd->hij", x.reshape(4, 16, 32), x.reshape(4, 16, 32))

    assert program(layers, (64, 32), (7, 32, 32)).dots() == {
        hlo.Dot(1, 64, 32, 32): 7,
        hlo.Dot(4, 16, 32, 16): 1,
    }


def test_a_kernel_of_cuda_or_of_onednn_is_a_product():
    """Left to a library, with what it joins in its settings."""
    line = """HloModule a
ENTRY %main (a: f32[5,8,64], b: f32[5,64,32]) -> f32[5,8,32] {
  %a = f32[5,8,64]{2,1,0} parameter(0)
  %b = f32[5,64,32]{2,1,0} parameter(1)
  ROOT %c = f32[5,8,32]{2,1,0} custom-call(%a, %b), custom_call_target="TARGET", CONFIG
}
"""
    blas = line.replace("TARGET", "__cublas$gemm").replace(
        "CONFIG",
        'backend_config={"gemm_backend_config":{"dot_dimension_numbers":{'
        '"lhs_contracting_dimensions":["2"],"rhs_contracting_dimensions":["1"],'
        '"lhs_batch_dimensions":["0"],"rhs_batch_dimensions":["0"]}}}',
    )
    assert hlo.Program(blas).dots() == {hlo.Dot(5, 8, 64, 32): 1}
    flat = line.replace("5,", "").replace("{2,1,0}", "{1,0}").replace("CONFIG", "x")
    flat = flat.replace("TARGET", "__onednn$matmul")
    assert hlo.Program(flat).dots() == {hlo.Dot(1, 8, 64, 32): 1}


BYTES = {
    "a product": (jnp.matmul, ((64, 48), (48, 80)), 64 * 48 + 48 * 80 + 64 * 80),
    "one kernel": (lambda x, y: jnp.tanh(x * y) + 1, ((100, 30), (100, 30)), 3 * 3000),
    "a sum": (lambda x: jnp.sum(x, 1), ((100, 300),), 100 * 300 + 100),
    # In, out; a loop's operand is copied once before it is changed in place.
    "a loop": (
        lambda x: jax.lax.fori_loop(0, 9, lambda _, x: jnp.sin(x), x),
        ((1000,),),
        9 * 2000 + 2000,
    ),
    "some rows": (
        lambda x, i: jnp.sin(x[i[:, 0].astype(int)]),
        ((60_000, 8), (5, 1)),
        2 * 5 * 8 + 5,
    ),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes_of_kernels(case):
    function, shapes, numbers = BYTES[case]
    found = program(function, *shapes).bytes()
    assert 4 * numbers <= found <= 4 * numbers * 1.02 + 64, found / 4


@pytest.mark.parametrize("case", ["a product", "one kernel", "a sum"])
def test_bytes_are_xlas_where_there_is_no_loop(case):
    function, shapes, _ = BYTES[case]
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    compiled = jax.jit(function).lower(*arguments).compile()
    found = hlo.Program(compiled.as_text()).bytes()
    assert found == pytest.approx(compiled.cost_analysis()["bytes accessed"], rel=0.05)


def test_a_kernel_that_ends_in_updates_writes_what_is_new():
    """A sum into three rows of many, which are read for it, and a row in the place of another."""
    text = """HloModule a
%both (p: f32[900,4], q: s32[3,1], r: f32[3,4], s: f32[1,4], i: s32[]) -> f32[3600] {
  %p = f32[900,4]{1,0} parameter(0)
  %q = s32[3,1]{1,0} parameter(1)
  %r = f32[3,4]{1,0} parameter(2)
  %s = f32[1,4]{1,0} parameter(3)
  %i = s32[] parameter(4)
  %sum = f32[900,4]{1,0} scatter(%p, %q, %r), to_apply=%add
  %row = f32[900,4]{1,0} dynamic-update-slice(%p, %s, %i, %i)
  %flat = f32[3600]{0} bitcast(%row)
  ROOT %t = (f32[900,4]{1,0}, f32[3600]{0}) tuple(%sum, %flat)
}
ENTRY %main (a: f32[900,4], b: s32[3,1], c: f32[3,4], d: f32[1,4], e: s32[]) -> f32[3600] {
  %a = f32[900,4]{1,0} parameter(0)
  %b = s32[3,1]{1,0} parameter(1)
  %c = f32[3,4]{1,0} parameter(2)
  %d = f32[1,4]{1,0} parameter(3)
  %e = s32[] parameter(4)
  ROOT %f = (f32[900,4]{1,0}, f32[3600]{0}) fusion(%a, %b, %c, %d, %e), kind=kLoop, calls=%both
}
"""
    read, written = 3 + 12 + 4 + 1, 2 * 12 + 4
    assert hlo.Program(text).bytes() == 4 * (read + written)


def test_an_update_in_place_moves_what_is_new():
    def write(x, rows):
        def one(i, x):
            return x.at[i].set(rows[i])

        return jax.lax.fori_loop(0, 10, one, x)

    x, rows = jnp.zeros((10_000, 64)), jnp.ones((10, 64))
    compiled = jax.jit(write, donate_argnums=0).lower(x, rows).compile()
    found = hlo.Program(compiled.as_text()).bytes()
    assert 4 * 2 * 10 * 64 <= found < 4 * 10 * 64 * 5

"""What a compiler says of sequences over devices: bytes of each, and how often collectives run."""

import jax

from genjax import attention
from genjax.scaling import chips

# A loop of five rounds inside one of three; one that TPU's compiler leaves uncounted.
TEXT = """HloModule jit_f

%body.1 (p: f32[]) -> f32[] {
  %start = (bf16[4,8]{1,0}, bf16[4,8]{1,0}, u32[], u32[]) collective-permute-start(%x), channel_id=1
  %done = bf16[4,8]{1,0} collective-permute-done(%start)
}

%three.2 (p: (s32[], f32[4])) -> pred[] {
  %bound = s32[]{:T(128)} constant(3), metadata={op_name="jit(f)"}
  ROOT %lt = pred[] compare(%counter, %bound), direction=LT
}

%round.3 (p: f32[]) -> f32[] {
  %w = f32[] while(%p), condition=%c, body=%body.1, backend_config={"known_trip_count":{"n":"5"}}
  %a = (f32[2,3]{1,0}, s32[7]{0}) all-reduce(%x, %y), to_apply=%sum
}

%branch (p: f32[]) -> f32[] {
  %g = f32[16]{0} all-gather(%x), dimensions={0}
}

ENTRY %main.4 (p: f32[]) -> f32[] {
  %w2 = (s32[], f32[4]) while(%p), condition=%three.2, body=%round.3
  %c = f32[] conditional(%i, %p, %p), branch_computations={%branch, %none}
}
"""


def test_collectives_count_as_often_as_their_loops_run():
    assert chips.collectives(TEXT) == {
        "collective-permute": [15, 15 * 4 * 8 * 2],
        "all-reduce": [3, 3 * (6 + 7) * 4],
        "all-gather": [1, 64],
    }


def test_a_ring_sends_keys_and_values_to_all_and_their_gradients_home():
    """Four devices: three hops forward, of which backward has the first; four of the gradients."""
    shape = (1, 128, 2, 8)
    found = chips.row("flash", "both", jax.devices()[:4], shape, dtype="float32", causal=True)
    hops, part = 2 * 3 + 2 * 2 + 2 * 4, 4 * 32 * 2 * 8
    assert found["collectives"] == {"collective-permute": [hops, hops * part]}
    # q, k, v and a cotangent; a CPU's devices have one memory.
    assert found["argument_bytes"] == 4 * 4 * part and found["devices"] == 4


def test_what_can_be_spread_is_asked_for_as_it_can():
    names = set(chips.variants())
    assert names == {
        n for n in attention.VARIANTS if not isinstance(attention.find(n).sharded, str)
    }
    # BigBird's random blocks are any device's.
    assert chips.variants()["bigbird"] == {"random_blocks": 0} and "full" not in names

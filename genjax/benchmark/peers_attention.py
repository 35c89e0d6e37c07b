"""The peers of attention: each package's operation alone, on one core, in PyTorch.

Projections are identities. They run in a process of their own, which alone imports torch
(requirements-peers.txt).
"""

# The peers are no dependencies of genjax.
# pyright: reportMissingImports=false

import contextlib
import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

from genjax.benchmark.harness import Row
from genjax.benchmark.sizes import Heads
from genjax.core.progress import say


def rows(
    size: Heads, lengths: tuple[int, ...], modes: tuple[str, ...], core: int
) -> dict[str, Row]:
    """'<peer> <mode> <length>' for the packages that are installed, of what they can do.

    Raises ImportError without torch.
    """
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [core])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = {}
    for length in lengths:
        for name, operation in _operations(torch, size, length).items():
            for mode in modes:
                if (name, mode) == ("FlexAttention", "both"):
                    continue  # Not on CPU; and once refused, it no longer runs compiled.
                run = _call(torch, operation, (1, size.heads, length, size.dim), mode)
                made[f"{name} {mode} {length}"] = Row(run, 1, "calls/s")
    for name, row in list(made.items()):
        try:
            row.run()
        except Exception as error:  # A peer that cannot do a row is none; the others go on.
            say(f"{name}: {type(error).__name__}: {str(error)[:150]}")
            del made[name]
    return made


def _call(torch, operation, shape, mode) -> Callable:
    with_grad = mode == "both"
    q, k, v = (torch.randn(shape, requires_grad=with_grad) for _ in range(3))
    cotangent = torch.randn(shape)

    def run():
        if not with_grad:
            with torch.no_grad():
                operation(q, k, v)
            return
        out = operation(q, k, v)
        out.backward(cotangent.reshape(out.shape))
        q.grad = k.grad = v.grad = None

    return run


def _operations(torch, size: Heads, length: int) -> dict[str, Callable]:
    """{name: (q, k, v [1, heads, length, dim]) -> result}; a missing package is left out."""
    found = {"SDPA": torch.nn.functional.scaled_dot_product_attention}
    for name, make in MAKERS.items():
        with contextlib.suppress(ImportError):
            found[name] = make(torch, size, length)
    return found


def _joined(x):
    """[1, length, heads * dim] of [1, heads, length, dim]."""
    return x.transpose(1, 2).flatten(2)


def _identities(torch, module, names):
    for name in names:
        if hasattr(module, name):
            setattr(module, name, torch.nn.Identity())
    return module


def _flex(torch, size, length):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    mask = create_block_mask(
        lambda b, h, i, j: (i - j).abs() <= 256, None, None, length, length, device="cpu"
    )
    # A program a length and mode: not a fallback to one that materialises n x n.
    torch._dynamo.config.recompile_limit = 64
    return partial(torch.compile(flex_attention, dynamic=False), block_mask=mask)


def _local(torch, size, length):
    from local_attention import LocalAttention

    return LocalAttention(
        window_size=256, causal=False, look_backward=1, look_forward=1, use_rotary_pos_emb=False
    )


def _hf_longformer(torch, size, length):
    from transformers.models.longformer import modeling_longformer

    config = SimpleNamespace(
        hidden_size=size.width, num_attention_heads=size.heads, attention_window=[512],
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    names = [f"{n}{g}" for n in ("query", "key", "value") for g in ("", "_global")]
    longformer = _identities(torch, modeling_longformer.LongformerSelfAttention(config, 0), names)
    nothing = torch.zeros(1, length)
    none = torch.zeros(1, length, dtype=torch.bool)

    def attend(q, k, v):
        # One input for all three: the projections are identities.
        return longformer(
            _joined(q), attention_mask=nothing, is_index_masked=none,
            is_index_global_attn=none, is_global_attn=False,
        )[0]  # fmt: skip

    return attend


def _hf_bigbird(torch, size, length):
    from transformers.models.big_bird import modeling_big_bird

    config = SimpleNamespace(
        hidden_size=size.width, num_attention_heads=size.heads, num_random_blocks=3,
        block_size=64, max_position_embeddings=length, use_bias=False,
    )  # fmt: skip
    bird = _identities(
        torch,
        modeling_big_bird.BigBirdBlockSparseAttention(config, seed=0),
        ("query", "key", "value"),
    )
    ones = torch.ones(1, length)
    blocked, band, start, stop = modeling_big_bird.BigBirdModel.create_masks_for_block_sparse_attn(
        ones, 64
    )

    def attend(q, k, v):
        return bird(
            _joined(q), band_mask=band, from_mask=start, to_mask=stop,
            from_blocked_mask=blocked, to_blocked_mask=blocked,
        )[0]  # fmt: skip

    return attend


def _linformer(torch, size, length):
    from linformer import LinformerSelfAttention

    linformer = _identities(
        torch,
        LinformerSelfAttention(
            dim=size.width, seq_len=length, k=256, heads=size.heads, dim_head=size.dim,
            share_kv=True,
        ),
        ("to_q", "to_k", "to_v", "to_out"),
    )  # fmt: skip
    return lambda q, k, v: linformer(_joined(q))


def _performer(torch, size, length):
    from performer_pytorch import FastAttention

    return FastAttention(dim_heads=size.dim, nb_features=256)


def _linear(torch, size, length):
    from linear_attention_transformer.linear_attention_transformer import linear_attn

    return linear_attn


def _reformer(torch, size, length):
    from reformer_pytorch import LSHAttention

    lsh = LSHAttention(bucket_size=64, n_hashes=4, causal=False)
    return lambda q, k, v: lsh(q[0], v[0])[0]


# (torch, size, length) -> the operation; raises ImportError where the package is missing.
MAKERS = {
    "FlexAttention": _flex,
    "local-attention": _local,
    "HF Longformer": _hf_longformer,
    "HF BigBird": _hf_bigbird,
    "linformer-pytorch": _linformer,
    "performer-pytorch": _performer,
    "linear-attention-transformer": _linear,
    "reformer-pytorch": _reformer,
}

"""The attention peers of benchmark.py: each package's operation alone, on one core, in PyTorch.

Projections are identities; 4 heads of 64, batch 1, float32. pip install -r requirements-peers.txt
"""

import os
from types import SimpleNamespace

from training_peers import timed

HEADS, DIM = 4, 64


def rows(lengths, modes):
    """{row name: function without arguments}, for those packages that are installed."""
    import torch

    made = {}
    for length in lengths:
        for name, operation in _operations(torch, length).items():
            for mode in modes:
                if (name, mode) == ("FlexAttention", "both"):
                    continue  # Not on CPU; and once refused, it no longer runs compiled.
                made[f"{name} {mode} {length}"] = _call(torch, operation, length, mode)
    return made


def _call(torch, operation, length, mode):
    shape = (1, HEADS, length, DIM)
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


def _operations(torch, length):
    """{name: (q, k, v [1, heads, length, dim]) -> result}; a missing package is left out."""
    nn, functional = torch.nn, torch.nn.functional
    found = {"SDPA": functional.scaled_dot_product_attention}

    def joined(x):
        return x.transpose(1, 2).reshape(1, length, HEADS * DIM)

    def identities(module, names):
        for name in names:
            if hasattr(module, name):
                setattr(module, name, nn.Identity())
        return module

    try:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        mask = create_block_mask(
            lambda b, h, i, j: (i - j).abs() <= 256, None, None, length, length, device="cpu"
        )
        # A program a length and mode: not a fallback to one that materialises n x n.
        torch._dynamo.config.recompile_limit = 64
        compiled = torch.compile(flex_attention, dynamic=False)
        found["FlexAttention"] = lambda q, k, v: compiled(q, k, v, block_mask=mask)
    except ImportError:
        pass
    try:
        from local_attention import LocalAttention

        found["local-attention"] = LocalAttention(
            window_size=256, causal=False, look_backward=1, look_forward=1,
            use_rotary_pos_emb=False,
        )  # fmt: skip
    except ImportError:
        pass
    try:
        from transformers.models.longformer import modeling_longformer

        config = SimpleNamespace(
            hidden_size=HEADS * DIM, num_attention_heads=HEADS, attention_window=[512],
            attention_probs_dropout_prob=0.0,
        )  # fmt: skip
        longformer = modeling_longformer.LongformerSelfAttention(config, 0)
        names = [f"{n}{g}" for n in ("query", "key", "value") for g in ("", "_global")]
        identities(longformer, names)
        nothing = torch.zeros(1, length)
        none = torch.zeros(1, length, dtype=torch.bool)

        def hf_longformer(q, k, v):
            # One input for all three: the projections are identities.
            return longformer(
                joined(q), attention_mask=nothing, is_index_masked=none,
                is_index_global_attn=none, is_global_attn=False,
            )[0]  # fmt: skip

        found["HF Longformer"] = hf_longformer
        from transformers.models.big_bird import modeling_big_bird

        config = SimpleNamespace(
            hidden_size=HEADS * DIM, num_attention_heads=HEADS, num_random_blocks=3,
            block_size=64, max_position_embeddings=length, use_bias=False,
        )  # fmt: skip
        bird = identities(
            modeling_big_bird.BigBirdBlockSparseAttention(config, seed=0),
            ("query", "key", "value"),
        )
        ones = torch.ones(1, length)
        band, start, stop, blocked = (
            modeling_big_bird.BigBirdModel.create_masks_for_block_sparse_attn(ones, 64)[i]
            for i in (1, 2, 3, 0)
        )

        def hf_bigbird(q, k, v):
            return bird(
                joined(q), band_mask=band, from_mask=start, to_mask=stop,
                from_blocked_mask=blocked, to_blocked_mask=blocked,
            )[0]  # fmt: skip

        found["HF BigBird"] = hf_bigbird
    except ImportError:
        pass
    try:
        from linformer import LinformerSelfAttention

        linformer = identities(
            LinformerSelfAttention(
                dim=HEADS * DIM, seq_len=length, k=256, heads=HEADS, dim_head=DIM, share_kv=True
            ),
            ("to_q", "to_k", "to_v", "to_out"),
        )
        found["linformer-pytorch"] = lambda q, k, v: linformer(joined(q))
    except ImportError:
        pass
    try:
        from performer_pytorch import FastAttention

        found["performer-pytorch"] = FastAttention(dim_heads=DIM, nb_features=256)
    except ImportError:
        pass
    try:
        from linear_attention_transformer.linear_attention_transformer import linear_attn

        found["linear-attention-transformer"] = linear_attn
    except ImportError:
        pass
    try:
        from reformer_pytorch import LSHAttention

        lsh = LSHAttention(bucket_size=64, n_hashes=4, causal=False)
        found["reformer-pytorch"] = lambda q, k, v: lsh(q[0], v[0])[0]
    except ImportError:
        pass
    return found


def serve(connection, lengths, modes, core):
    """The process of the peers: first the names of its rows, then a rate for each request."""
    try:
        import torch
    except ImportError as error:
        connection.send(str(error))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [core])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = rows(lengths, modes)
    for name in list(made):
        try:
            made[name]()
        except Exception as error:  # A peer that cannot do a row is none; the others go on.
            print(f"{name}: {type(error).__name__}: {str(error)[:150]}", flush=True)
            del made[name]
    connection.send(list(made))
    while request := connection.recv():
        name, seconds = request
        connection.send(timed(made[name], 1)(seconds))

"""Self-attention as a library: one file a variant, one signature.

    from genjax.attention import longformer

    variant = longformer(1024, 64, window=128, causal=True)
    out = variant.attend(q, k, v)  # all [batch, 1024, heads, 64]

`build` makes any of them by name. A new variant is one more file in `variants/`: a function of the
file's name under `@register(...)`; nothing else needs to know of it. Importing this package imports
no variant and no jax; the first name that is asked for does. `sharded.spread` builds a variant for
positions that are spread over devices.
"""

import importlib
from typing import TYPE_CHECKING

from genjax.attention.catalogue import variant_names

if TYPE_CHECKING:
    # For type checkers and editors, which run no code. A variant that is not here works as well.
    from genjax.attention.registry import (
        VARIANTS,
        Cost,
        Entry,
        Variant,
        build,
        find,
        options,
        register,
        select,
    )
    from genjax.attention.variants.bigbird import bigbird as bigbird
    from genjax.attention.variants.flash import flash as flash
    from genjax.attention.variants.full import full as full
    from genjax.attention.variants.linear import linear as linear
    from genjax.attention.variants.linformer import linformer as linformer
    from genjax.attention.variants.longformer import longformer as longformer
    from genjax.attention.variants.performer import performer as performer
    from genjax.attention.variants.reformer import reformer as reformer
    from genjax.attention.variants.sparse_fixed import sparse_fixed as sparse_fixed
    from genjax.attention.variants.sparse_strided import sparse_strided as sparse_strided
    from genjax.attention.variants.truncated import truncated as truncated

__all__ = [
    "VARIANTS",
    "Cost",
    "Entry",
    "Variant",
    "build",
    "find",
    "options",
    "register",
    "select",
    "variant_names",
]


def __getattr__(name: str):
    if name in __all__:
        registry = importlib.import_module(f"{__name__}.registry")
        registry.discover()
        return getattr(registry, name)
    if name in variant_names():
        return getattr(importlib.import_module(f"{__name__}.variants.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

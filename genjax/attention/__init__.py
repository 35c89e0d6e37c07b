"""Self-attention as a library: one file a variant, one signature.

    from genjax.attention import longformer

    variant = longformer(1024, 64, window=128, causal=True)
    out = variant.attend(q, k, v)  # all [batch, 1024, heads, 64]

`build` makes any of them by name. A new variant is one more file in this folder: a function of the
file's name under `@register(...)`; nothing else needs to know of it.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from genjax.attention.registry import VARIANTS, Entry, build, find, options, register, select
from genjax.attention.variant import Cost, Variant

if TYPE_CHECKING:
    # For type checkers and editors, which run no code. A variant that is not here works as well.
    from genjax.attention.bigbird import bigbird as bigbird
    from genjax.attention.flash import flash as flash
    from genjax.attention.full import full as full
    from genjax.attention.linear import linear as linear
    from genjax.attention.linformer import linformer as linformer
    from genjax.attention.longformer import longformer as longformer
    from genjax.attention.performer import performer as performer
    from genjax.attention.reformer import reformer as reformer
    from genjax.attention.sparse_fixed import sparse_fixed as sparse_fixed
    from genjax.attention.sparse_strided import sparse_strided as sparse_strided
    from genjax.attention.truncated import truncated as truncated

__all__ = [
    "VARIANTS",
    "Cost",
    "Entry",
    "Variant",
    "build",
    "discover",
    "find",
    "options",
    "register",
    "select",
]


def discover() -> None:
    """Imports every file of this folder; a name of the package that is a variant's is its function.

    The module behind it is `importlib.import_module("genjax.attention.<name>")`.
    """
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
        if module.name in VARIANTS:
            globals()[module.name] = VARIANTS[module.name].make


discover()

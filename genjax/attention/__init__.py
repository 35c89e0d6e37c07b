"""Self-attention, one file a variant; `build` makes any of them for one length."""

import inspect

from genjax.attention import (
    bigbird,
    flash,
    full,
    linear,
    linformer,
    longformer,
    performer,
    reformer,
    sparse_fixed,
    sparse_strided,
    truncated,
)
from genjax.attention.variant import Variant
from genjax.core.errors import UsageError

IMPLEMENTATIONS = flash.IMPLEMENTATIONS
VARIANTS = {
    "full": full.make,
    "flash": flash.make,
    "truncated": truncated.make,
    "sparse_strided": sparse_strided.make,
    "sparse_fixed": sparse_fixed.make,
    "longformer": longformer.make,
    "bigbird": bigbird.make,
    "linformer": linformer.make,
    "performer": performer.make,
    "linear": linear.make,
    "reformer": reformer.make,
}

CAUSAL_ONLY, NOT_CAUSAL = ("sparse_strided", "sparse_fixed"), ("bigbird", "linformer")


def build(name: str, length: int, head_dim: int, *, causal: bool, **options) -> Variant:
    """The variant `name` for one length; options that it does not have are left out.

    Raises UsageError for an unknown name, or what the variant cannot do.
    """
    if name not in VARIANTS:
        raise UsageError(f"--variants={name}: unknown; choose from {', '.join(VARIANTS)}")
    make = VARIANTS[name]
    known = inspect.signature(make).parameters
    kept = {key: value for key, value in options.items() if key in known}
    return make(length, head_dim, causal=causal, **kept)._replace(causal=causal)

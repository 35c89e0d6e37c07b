"""Which variants there are, told from the files of `variants/` without importing one.

Configurations ask here: they need neither jax nor the variants themselves.
"""

import pkgutil

from genjax.attention import variants

# How tables and pictures begin. A variant that is not here comes behind these, by name.
FIRST = (
    "full",
    "flash",
    "truncated",
    "sparse_strided",
    "sparse_fixed",
    "longformer",
    "bigbird",
    "linformer",
    "performer",
    "linear",
    "reformer",
)

# Variants that are models of their own. The others stand in for softmax attention over the same q,
# k and v, exactly or as approximations.
OTHER_MODELS = ("linformer", "linear")

# What computes flash; auto: splash on a TPU and cuDNN on a GPU where they fit, tiles elsewhere.
IMPLEMENTATIONS = ("auto", "tiles", "splash", "cudnn")


def variant_names() -> tuple[str, ...]:
    """The variants in the order of tables and pictures."""
    found = {module.name for module in pkgutil.iter_modules(variants.__path__)}
    return (*(name for name in FIRST if name in found), *sorted(found - {*FIRST}))

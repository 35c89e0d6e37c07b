"""Four virtual CPU devices, and shapes checked at run time in the pure functions."""

import os

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
)
os.environ["JAX_PLATFORMS"] = "cpu"

from jaxtyping import install_import_hook

install_import_hook(["genjax.losses", "genjax.metrics", "genjax.samplers"], "beartype.beartype")

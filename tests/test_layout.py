"""Where things are: what may import what."""

import re

from scripts import ROOT


def test_flax_is_imported_by_networks_alone():
    """Elsewhere a network is its `init` and `apply`."""
    for path in [*(ROOT / "genjax").rglob("*.py"), *(ROOT / "experiments").glob("*.py")]:
        if path.parent.name not in ("images", "lm") and "networks" not in path.stem:
            assert not re.search(r"^\s*(import|from) flax", path.read_text(), re.M), path

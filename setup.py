"""What pyproject.toml has no word for: flagfiles and results lie beside genjax/ in a checkout, and
inside it where it is installed (genjax/core/shipped.py finds them)."""

from setuptools import find_packages, setup

SHIPPED = {"genjax.flagfiles": "experiments/flags", "genjax.results": "results"}

setup(packages=[*find_packages(include=["genjax*"]), *SHIPPED], package_dir=SHIPPED)

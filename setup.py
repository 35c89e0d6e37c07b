"""What pyproject.toml has no word for: folders without code that are packages where genjax is
installed. Flagfiles and results lie beside genjax/ in a checkout (genjax/core/shipped.py)."""

from setuptools import find_packages, setup

SHIPPED = {"genjax.flagfiles": "experiments/flags", "genjax.results": "results"}

PACKAGES = [*find_packages(include=["genjax*"]), "genjax.report.templates", *SHIPPED]

setup(packages=PACKAGES, package_dir=SHIPPED)

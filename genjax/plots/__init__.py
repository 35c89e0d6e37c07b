"""Figures by experiment, drawn from the files of a run: no jax."""

"""Networks. Flax linen is imported in this folder alone; elsewhere a model is pure functions."""

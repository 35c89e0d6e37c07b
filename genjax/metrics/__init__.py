"""Measures of trained models, each with its paper: NumPy in, numbers out."""

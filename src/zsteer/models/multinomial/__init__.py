"""Multinomial diffusion."""

"""Denoising diffusion of plain numbers."""

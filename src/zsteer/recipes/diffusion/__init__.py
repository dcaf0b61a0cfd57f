"""Diffusion models of images and rows: recipes, kit, benchmark."""

"""Multinomial diffusion of sequences and of pictures of few levels: recipes, kit, baselines, benchmark."""

"""Recipes of drawn faces, and of pictures with attributes of one's own: the diffusion autoencoder and the reader."""

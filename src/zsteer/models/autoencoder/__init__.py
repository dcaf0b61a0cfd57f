"""Autoencoders: VAE, WAE-MMD and WAE-GAN."""

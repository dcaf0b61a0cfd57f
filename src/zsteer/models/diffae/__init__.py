"""The diffusion autoencoder: a semantic code that heads read, and a stochastic code that carries the rest."""

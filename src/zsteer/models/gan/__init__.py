"""GAN, Wasserstein GAN, and their critics."""

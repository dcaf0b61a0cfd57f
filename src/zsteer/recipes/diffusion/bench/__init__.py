"""The benchmark of diffusion models of images, part by part: quality, guidance, inversion, likelihood, speed."""

"""The autoencoders of the lecture on images and tables: VAE and IWAE, WAE-MMD and WAE-GAN, and a feature net."""

"""GAN and WGAN on images and tables: recipes, what is measured at the end, and the table of toys."""

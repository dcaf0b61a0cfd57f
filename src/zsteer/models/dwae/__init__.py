"""The disentangled Wasserstein autoencoder of receptors."""

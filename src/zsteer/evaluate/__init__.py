"""How well it worked: takes batches and codes, never models."""

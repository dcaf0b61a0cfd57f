"""Tensor in, tensor out: no loss, no noise of its own, no data."""

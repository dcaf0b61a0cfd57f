"""Contracts: what a batch, a stream, a model, a steer and an artifact are. Computes nothing."""

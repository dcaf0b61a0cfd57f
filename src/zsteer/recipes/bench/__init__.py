"""Benchmarks: one module each, one table each, peers and baselines in the same run."""

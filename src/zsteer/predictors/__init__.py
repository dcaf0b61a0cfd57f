"""Learnt scorers and guides: what reads a sample and says something of it."""

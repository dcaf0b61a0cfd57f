"""Restricted Boltzmann machines of ratings, and what they are compared with."""

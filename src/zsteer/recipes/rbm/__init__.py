"""Recipes of the restricted Boltzmann machine: any set of binary, real or level data, and CDR3-beta sequences."""

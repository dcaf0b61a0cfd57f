"""Molecules: recipes, what they offer a user, and their benchmark."""

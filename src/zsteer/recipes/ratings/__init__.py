"""Ratings: the recipe, what its models do for a user, its evaluation and its benchmark."""

"""How oracles are called: beliefs, ensembles, a budget, a store of results, workers that may die."""

"""T-cell receptors: recipes, the kit (sample, steer, evaluate), the benchmark and the demo."""

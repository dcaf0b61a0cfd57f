"""How well it worked: reports of values with estimator, n, interval and baseline. Takes batches and scores."""

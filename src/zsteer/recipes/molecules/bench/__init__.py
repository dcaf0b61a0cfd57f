"""The benchmark of molecules, part by part: kernel, cost, evaluator, quality against steps, conditions."""

"""POT on two samples of a file: exact transport, Sinkhorn, slices, a line, energy; values and CPU-seconds.

python pot_ot.py SAMPLES.npz REPEATS
"""

import json
import sys
import time

import numpy as np
import ot


def timed(function, repeats):
    function()
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        value = float(function())
        best = min(best, time.process_time() - started)
    return {"value": value, "seconds": best}


def main():
    with np.load(sys.argv[1], allow_pickle=False) as found:
        a, b, directions, epsilon = found["a"], found["b"], found["directions"], float(found["epsilon"])
    repeats = int(sys.argv[2])
    squared, lengths = ot.dist(a, b), ot.dist(a, b, metric="euclidean")

    def energy():
        return 2 * lengths.mean() - ot.dist(a, a, metric="euclidean").mean() - ot.dist(b, b, metric="euclidean").mean()

    def sinkhorn():
        def cost(x, y):
            matrix = ot.dist(x, y)
            plan = ot.sinkhorn([], [], matrix, epsilon, method="sinkhorn_log", stopThr=1e-4 / len(x), numItermax=10_000)
            return (plan * matrix).sum() + epsilon * (plan * np.log(np.maximum(plan * plan.size, 1e-300))).sum()

        return cost(a, b) - cost(a, a) / 2 - cost(b, b) / 2

    print(
        json.dumps(
            {
                "W1, exact": timed(lambda: ot.emd2([], [], ot.dist(a, b, metric="euclidean")), repeats),
                "W2^2, exact": timed(lambda: ot.emd2([], [], ot.dist(a, b)), repeats),
                "sliced W2": timed(
                    lambda: ot.sliced_wasserstein_distance(a, b, projections=directions.T, p=2), repeats
                ),
                "W1 on a line": timed(lambda: ot.wasserstein_1d(a.ravel(), b.ravel(), p=1), repeats),
                "energy distance": timed(energy, repeats),
                "Sinkhorn divergence": timed(sinkhorn, 1),
                "largest cost": {"value": float(squared.max()), "seconds": 0.0},
            }
        )
    )


if __name__ == "__main__":
    main()

"""Precision, recall, density and coverage by scikit-learn's dense distances, as the usual package computes them.

python prdc_like.py SAMPLES.npz K
"""

import json
import sys
import time

import numpy as np
from sklearn.metrics import pairwise_distances


def main():
    with np.load(sys.argv[1], allow_pickle=False) as found:
        fake, real = found["a"], found["b"]
    k = int(sys.argv[2])
    started = time.process_time()
    inside = {}
    for name, x in (("real", real), ("fake", fake)):
        inside[name] = np.partition(pairwise_distances(x), k, axis=1)[:, k]
    across = pairwise_distances(real, fake)
    held = across < inside["real"][:, None]
    figures = {
        "precision": float(held.any(0).mean()),
        "recall": float((across < inside["fake"][None]).any(1).mean()),
        "density": float(held.sum(0).mean() / k),
        "coverage": float((across.min(1) < inside["real"]).mean()),
    }
    print(json.dumps({**figures, "seconds": time.process_time() - started}))


if __name__ == "__main__":
    main()

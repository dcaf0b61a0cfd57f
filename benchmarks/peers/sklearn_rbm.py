"""Peer: scikit-learn's BernoulliRBM (persistent chains, one sweep), CPU-seconds an epoch, by turns with a signal.

Usage: sklearn_rbm.py ROWS.npy UNITS BATCH EPOCHS. Reads float32 rows of 0 and 1, trains an epoch at a time and prints
one line of JSON with the CPU-seconds of each epoch after a first one that warms up.
"""

import json
import sys
import time

import numpy as np
import sklearn
from sklearn.neural_network import BernoulliRBM


def main() -> None:
    """Time the epochs."""
    path, units, batch, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rows = np.load(path, allow_pickle=False)
    assert rows.dtype == np.float32
    machine = BernoulliRBM(units, learning_rate=0.05, batch_size=batch, n_iter=1, random_state=0)
    seconds = []
    for _ in range(epochs + 1):
        started = time.process_time()
        machine.fit(rows)
        seconds.append(time.process_time() - started)
    assert machine.components_.dtype == np.float32
    print(json.dumps({"seconds": seconds[1:], "version": sklearn.__version__}))


if __name__ == "__main__":
    main()

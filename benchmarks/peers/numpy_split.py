"""Rows of a test part as NumPy draws them: the first tenth of ``default_rng(seed).permutation(n)``.

Figures that others measured on such a split can be compared with ours on the very same rows; zsteer itself draws from
its own streams. Needs NumPy alone, so any Python with zsteer's dependencies runs it.
"""

import json
import sys

import numpy as np

n, seed = int(sys.argv[1]), int(sys.argv[2])
rows = np.random.default_rng(seed).permutation(n)[: int(0.1 * n)]
print(json.dumps({"rows": rows.tolist()}))

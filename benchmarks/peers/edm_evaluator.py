"""e3_diffusion_for_molecules: its loop over atoms for stability, timed on molecules of a file.

python edm_evaluator.py FOLDER MOLECULES.npz: FOLDER is a checkout of the repository, fetched by whoever runs this.
"""

import json
import sys
import time
import types
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch


def stubbed(*names):
    """Packages that the peer imports at its head and its loop never uses."""
    for name in names:
        module = types.ModuleType(name)
        module.use = lambda *_: None
        sys.modules.setdefault(name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def main(folder, molecules):
    sys.path.insert(0, str(Path(folder).resolve()))
    stubbed("matplotlib", "matplotlib.pyplot")
    from configs.datasets_config import get_dataset_info
    from qm9.analyze import check_stability

    info = get_dataset_info("qm9", remove_h=False)
    code = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
    place = {code[symbol]: k for k, symbol in enumerate(info["atom_decoder"])}
    with np.load(molecules, allow_pickle=False) as file:
        z, xyz, offsets = file["z"], file["xyz"], file["offsets"]
    pairs = [(torch.from_numpy(xyz[a:b]), torch.tensor([place[int(k)] for k in z[a:b]])) for a, b in pairwise(offsets)]
    start, clock = time.perf_counter(), time.process_time()
    found = [check_stability(positions, kinds, info) for positions, kinds in pairs]
    told = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - clock,
        "molecules": len(found),
        "stable": [bool(one[0]) for one in found],
        "atoms": [int(one[1]) for one in found],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

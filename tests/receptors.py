"""A small made-up world of receptors for tests: binders of a peptide carry its motif in the core, others do not."""

import torch

from zsteer.core.rng import Streams
from zsteer.domains.sequences.data import TcrData
from zsteer.domains.sequences.space import ALPHABET, SequenceSpace

MOTIFS = {"YLQPRTFLL": "WHK", "GILGFVFTL": "RSM", "KRWIILGLNK": ""}
"""Peptide -> motif; the binders of the last one look like anything else, so that no oracle can know them."""

SPLITS = ("train", "valid", "eval", "test")


def sequences(count, motif, rng):
    """Receptors of 12 to 16 residues; ``motif`` stands somewhere in the middle."""
    length = 12 + rng.integers("length", 5)
    letters = rng.integers("letters", 20, (16,))
    place = 4 + rng.integers("place", 3)
    made = []
    for i in range(count):
        core = "".join(ALPHABET[int(letter)] for letter in letters[i, : int(length[i])])
        core = core[3:-3]
        if motif:
            at = int(place[i]) - 3
            core = core[:at] + motif + core[at + len(motif) :]
        made.append(f"CAS{core}EQF")
    return list(dict.fromkeys(made))


def world(*, binders=160, background=4000, seed=0):
    """Made-up receptor tables; every split has a share of the binders of each peptide."""
    import numpy as np

    cdr3, peptides, splits = [], [], []
    for peptide, motif in MOTIFS.items():
        found = sequences(binders, motif, Streams.of(seed, binders).child(peptide))
        cdr3 += found
        peptides += [peptide] * len(found)
        splits += [SPLITS[i % 4] for i in range(len(found))]
    back = sequences(background, "", Streams.of(seed, background).child("background"))
    parts = ["design", "judge", "valid", "test"]
    space = SequenceSpace()
    return TcrData(
        "permissive",
        np.array(cdr3),
        np.array(peptides),
        np.array(splits),
        space.encode(cdr3)["tokens"].to(torch.uint8),
        np.array(back),
        np.array([parts[i % 4] for i in range(len(back))]),
        space.encode(back)["tokens"].to(torch.uint8),
        {"made up": str(seed)},
    )

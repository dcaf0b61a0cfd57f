"""500 SMILES that nothing was tuned on: the recipe of molecules at size xs, beside molecules by chance.

The set is generated: six rings with two groups each. Chance draws a molecule's size, its atoms one by one and the
orders of its bonds as the set has them, and joins the atoms to a tree at random.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rdkit import Chem

from zsteer.core.rng import Streams
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.base import Subject
from zsteer.kits.front import sample
from zsteer.kits.molecules.validity import ValidityProtocol
from zsteer.kits.protocols import EvaluationRequest
from zsteer.recipes.molecules.settings import MoleculeDiffusionRecipe

__all__ = ["by_chance", "generated_smiles", "table"]

RINGS = (
    "c1ccc({0})cc1{1}",
    "c1cnc({0})cc1{1}",
    "C1CC({0})CCC1{1}",
    "c1cc({0})sc1{1}",
    "C1CN({0})CC1{1}",
    "c1cc({0})oc1{1}",
)
GROUPS = ("C", "CC", "O", "OC", "N", "NC", "F", "Cl", "C(=O)O", "C(=O)N", "C#N", "CO", "C(C)C", "N(C)C", "CCN", "C=C")
SAMPLES = 100
COLUMNS = ["what", "valid", "unique of the valid", "novel of the unique", "n", "CPU seconds"]


def generated_smiles(n: int = 500, *, seed: int = 0) -> list[str]:
    """Different small molecules, as a user's list would hold them."""
    texts = [ring.format(a, b) for ring in RINGS for a in GROUPS for b in GROUPS]
    distinct = sorted({Chem.CanonSmiles(text) for text in texts})
    return [distinct[k] for k in Streams.of(seed, 1).permutation("list", len(distinct))[0][:n].tolist()]


def by_chance(smiles: Sequence[str], n: int, *, seed: int = 0) -> list[str]:
    """Molecules with the sizes, atoms and bond orders of a list, joined to trees at random."""
    known = [Chem.MolFromSmiles(text) for text in smiles]
    for mol in known:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    sizes = [mol.GetNumAtoms() for mol in known]
    atoms = [atom.GetAtomicNum() for mol in known for atom in mol.GetAtoms()]
    orders = [bond.GetBondType() for mol in known for bond in mol.GetBonds()]
    rng, made = Streams.of(seed, n).child("by chance"), list[str]()
    most = max(sizes)
    size = rng.integers("size", len(sizes)).tolist()
    kind = rng.integers("atom", len(atoms), (most,)).tolist()
    order = rng.integers("order", len(orders), (most,)).tolist()
    parent = rng.uniform("parent", (most,)).tolist()
    for row in range(n):
        mol = Chem.RWMol()
        for k in range(sizes[size[row]]):
            mol.AddAtom(Chem.Atom(atoms[kind[row][k]]))
            if k:
                mol.AddBond(int(parent[row][k] * k), k, orders[int(order[row][k])])
        made.append(Chem.MolToSmiles(mol))
    return made


def table(place: Path) -> Table:
    """Train on the list and measure.

    Args:
        place: a folder for files.
    """
    smiles = generated_smiles()
    path, chance = place / "own.smi", place / "chance.smi"
    path.write_text("\n".join(smiles) + "\n", encoding="utf-8")
    chance.write_text("\n".join(by_chance(smiles, SAMPLES)) + "\n", encoding="utf-8")
    started = time.process_time()
    recipe = MoleculeDiffusionRecipe(size="xs", dataset=str(path), properties="none").resolve(None)
    experiment = recipe.build(None, torch.device("cpu"))
    model = experiment.finish(experiment.train(seed=recipe.seed))
    trained = time.process_time() - started
    found = sample(Subject(model, None, torch.device("cpu")), SAMPLES, given={}, options={"max_retries": 0}, seed=1)
    judge = ValidityProtocol()
    rows = [
        ["molecules (--size xs)", *_figures(judge, found, path), round(trained, 1)],
        ["by chance", *_figures(judge, judge.read(chance, skip_invalid=False), path), 0.0],
    ]
    notes = [
        "valid: sanitised, in one piece, no unpaired electron, at the first draw; novel: none of the list",
        "by chance: sizes, atoms and bond orders as the list has them, joined to a tree at random",
    ]
    return Table(f"{len(smiles)} SMILES of one's own", COLUMNS, rows, notes)


def _figures(judge: ValidityProtocol, samples: Any, known: Path) -> list[Cell]:
    row = judge.evaluate(samples, EvaluationRequest(reference=known)).tables[0]
    named = dict(zip(row.columns, row.rows[0], strict=True))
    return [named[name] for name in ("valid", "unique", "novel", "n")]

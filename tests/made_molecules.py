"""Molecules for the tests: known drugs and solvents, their geometry made by RDKit when the test runs."""

from dataclasses import replace
from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

from zsteer.domains.molecules.chemistry import gather, parse_smiles, record_of, with_hydrogens
from zsteer.domains.molecules.container import Molecules

DRUGS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "caffeine": "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "ibuprofen": "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "nicotine": "CN1CCCC1c1cccnc1",
    "metformin": "CN(C)C(=N)NC(=N)N",
    "benzene": "c1ccccc1",
    "ethanol": "CCO",
    "glycine": "NCC(=O)O",
    "furan": "c1ccoc1",
    "nitrobenzene": "O=[N+]([O-])c1ccccc1",
    "sulfanilamide": "Nc1ccc(S(N)(=O)=O)cc1",
    "acetate": "CC(=O)[O-]",
}


@cache
def _built(smiles):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    AllChem.MMFFOptimizeMolecule(mol, maxIters=2000)
    return gather([record_of(mol, smiles=smiles)])


def built(*names):
    """Molecules by name or SMILES, with all hydrogens as atoms."""
    return Molecules.cat([_built(DRUGS.get(name, name)) for name in names])


def without_bonds(molecules):
    """Elements and coordinates alone."""
    none = {"bonds": np.zeros((0, 2), np.int32), "order": np.zeros(0, np.uint8), "aromatic": np.zeros(0, bool)}
    return replace(molecules, **none, bond_offsets=None)


def without_atom(molecules, k):
    """A single molecule without its atom k and the bonds of that."""
    stay = np.arange(len(molecules.z)) != k
    kept = (molecules.bonds != k).all(1)
    bonds = molecules.bonds[kept]
    return replace(
        molecules,
        **{name: getattr(molecules, name)[stay] for name in ("z", "xyz", "charge", "hydrogens")},
        **{name: getattr(molecules, name)[kept] for name in ("order", "aromatic")},
        bonds=(bonds - (bonds > k)).astype(np.int32),
        offsets=np.array([0, stay.sum()], np.int64),
        bond_offsets=np.array([0, kept.sum()], np.int64),
    )


def changed(molecules, name, k, value):
    """A molecule with one entry of one of its arrays replaced."""
    array = getattr(molecules, name).copy()
    array[k] = value
    return replace(molecules, **{name: array})


def data_set(folder, name, *, n, start=0):
    """Some molecules of a file of the data folder, with the bonds of its SMILES where those name its atoms."""
    with np.load(folder / "molecules" / name, allow_pickle=False) as file:
        offsets = file["offsets"][start : start + n + 1].astype(np.int64)
        atoms = slice(offsets[0], offsets[-1])
        words = file["smiles"][start : start + n].astype(np.str_)
        bonded = "smiles_canonical" in file.files
        xyz = (file["coords_mA"][atoms] * np.float32(1e-3)).astype(np.float32)
        z = file["Z"][atoms]
    if not bonded:
        none = np.zeros(len(z), np.int8)
        return Molecules(z=z, xyz=xyz, offsets=offsets - offsets[0], charge=none, hydrogens=none, smiles=words)
    records = []
    for i, text in enumerate(words):
        at = offsets[i : i + 2] - offsets[0]
        graph = record_of(with_hydrogens(parse_smiles(text)), smiles=str(text))
        records.append(replace(graph, z=z[slice(*at)].tolist(), xyz=xyz[slice(*at)]))
    return gather(records)

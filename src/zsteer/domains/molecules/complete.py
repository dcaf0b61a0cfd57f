"""Generated molecules completed: hydrogens that follow from the bonds, and Kekule orders of aromatic bonds.

A model of heavy atoms says elements, charges, bonds, and a hydrogen on aromatic atoms where it is not implied. What is
left follows by valence alone. Nothing is repaired: where the rules do not hold the molecule stays as it came, with the
reason beside it.
"""

from dataclasses import replace

import numpy as np
from rdkit import Chem, rdBase

from zsteer.domains.molecules.chemistry import sanitised, smiles_of, to_rdkit
from zsteer.domains.molecules.container import Molecules
from zsteer.errors import InputError

__all__ = ["completed"]


def completed(molecules: Molecules) -> tuple[Molecules, list[str]]:
    """Count the hydrogens of each atom, and give aromatic bonds their Kekule orders.

    Args:
        molecules: heavy atoms with bonds; ``hydrogens`` says those that do not follow from the bonds.

    Returns:
        The molecules with their SMILES, and for each an empty string or the reason why its chemistry does not hold: its
        valences, or that it lies in pieces. Such molecules have no SMILES.

    Raises:
        InputError: if there are no bonds.
    """
    if molecules.bond_offsets is None:
        raise InputError("hydrogens follow from bonds, and these molecules have none")
    hydrogens, order, aromatic = molecules.hydrogens.copy(), molecules.order.copy(), molecules.aromatic.copy()
    reasons: list[str] = []
    smiles: list[str] = []
    with rdBase.BlockLogs():
        for i in range(len(molecules)):
            mol = to_rdkit(molecules, i, completed=True)
            reasons.append(sanitised(mol, repair=False))
            smiles.append("")
            if reasons[-1]:
                continue
            pieces = len(Chem.GetMolFrags(mol))
            if pieces == 1:
                smiles[-1] = smiles_of(mol)
            else:
                reasons[-1] = f"{pieces} pieces"
            own = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
            hydrogens[own] = [atom.GetTotalNumHs() for atom in mol.GetAtoms()]
            first = int(molecules.bond_offsets[i])
            plain = Chem.Mol(mol)
            Chem.Kekulize(plain, clearAromaticFlags=True)
            for k, (bond, ring) in enumerate(zip(plain.GetBonds(), mol.GetBonds(), strict=True)):
                order[first + k], aromatic[first + k] = int(bond.GetBondTypeAsDouble()), ring.GetIsAromatic()
    counted = np.asarray(hydrogens, np.int8)
    return replace(molecules, hydrogens=counted, order=order, aromatic=aromatic, smiles=np.array(smiles)), reasons

"""Bonds for atoms that have none: laid on by a SMILES, asked of RDKit, or solved by valence."""

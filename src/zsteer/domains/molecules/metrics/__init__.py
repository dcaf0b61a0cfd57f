"""What a molecule is as RDKit sees it, and as a graph; what evaluation measures of it stands in ``kits.molecules``."""

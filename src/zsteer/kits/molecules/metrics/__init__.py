"""What evaluation measures of molecules: validity by tables, geometry, energy, novelty."""

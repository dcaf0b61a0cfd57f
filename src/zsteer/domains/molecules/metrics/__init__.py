"""Metrics of a set of molecules: legacy stability, valency, graphs, rings and properties, geometry, energies.

Each file answers one question and takes :class:`~zsteer.domains.molecules.container.Molecules`; the report that sets
samples beside data is ``evaluate/molecules.py``.
"""

"""Amino-acid sequences, first of all the CDR3 of T-cell receptors.

``space`` says what a sequence is, ``files`` reads and writes, ``data`` knows the public sets and their splits,
``epitopes`` holds facts, ``oracles`` are properties, ``metrics`` measures designs, ``draw`` shows them.
"""

"""The tables of receptor engineering."""

"""Distances between distributions and the two-sample protocol: the lecture's segments, the speed table, the report."""

"""Ratings of items by users on a scale of ordered levels.

``space`` says what a table of ratings is, ``files`` reads the usual public formats, ``data`` knows the public sets and
splits a table, ``metrics`` judges distributions over levels.
"""

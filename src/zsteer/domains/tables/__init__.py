"""Tables of numbers and categories: what a row is, reading and writing, generated sets whose truth is known.

``space`` says what a row is, ``files`` reads and writes, ``toys`` draws from distributions with known modes.
"""

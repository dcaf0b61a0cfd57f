"""Search: change starts step by step and measure what comes of it; the baselines that any editor has to beat.

A search is an algorithm (``greedy``, ``genetic``, ``mcts``, ``random``: what to try next) on moves (``moves``: how
things change: substitutions of letters, or proposals of any model) with a ``ledger`` (what has been asked, at what
cost). ``method`` puts them together for any model and objective, ``sequences`` for an oracle of sequences.
"""

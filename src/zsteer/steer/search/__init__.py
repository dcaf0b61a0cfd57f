"""Search: change a start step by step and ask the oracle; the baselines that any editor has to beat.

All are ``Steer``s over sequences with the same rules: substitutions only, at most ``budget.edits`` of them, the first
and last ``keep["ends"]`` residues as they are, ``budget.calls`` distinct oracle calls for each start. ``common`` holds
these rules; ``random``, ``greedy``, ``genetic`` and ``mcts`` differ in what they ask next.
"""

"""Refitting of a generator to what an oracle wants: conditioning by adaptive sampling and its siblings."""

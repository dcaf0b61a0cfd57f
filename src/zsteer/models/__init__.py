"""One file per system: its networks, its loss readable top to bottom, and what it can do."""

"""One function is one equation: torch only, no networks, no files, no random numbers of its own."""

"""Small molecules with their geometry: one container, readers and writers, chemistry, and honest metrics."""

"""Images and tables."""

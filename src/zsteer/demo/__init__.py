"""The main jobs end to end."""

"""How to walk back: free functions on protocols."""

"""Equivariant diffusion of molecules."""

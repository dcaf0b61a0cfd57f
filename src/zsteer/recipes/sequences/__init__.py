"""Receptors."""

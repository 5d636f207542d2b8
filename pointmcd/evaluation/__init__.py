"""Protocols and metrics; the import of this package alone loads nothing."""

"""Prepared shapes: the on-disk format and the dataset that reads it; ``preparation`` makes such sets."""

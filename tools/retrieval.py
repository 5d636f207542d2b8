#!/usr/bin/env python
"""Retrieve shapes by frozen features: mean average precision, with and without the query in the gallery."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.retrieval import main

if __name__ == "__main__":
    sys.exit(main())

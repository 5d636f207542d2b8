#!/usr/bin/env python
"""A point network that learns from a frozen image network, beside the same network alone: one command."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.distill import main

if __name__ == "__main__":
    sys.exit(main())

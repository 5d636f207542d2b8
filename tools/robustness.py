#!/usr/bin/env python
"""Measure how robust exported students are, side by side: rotations, noise, outliers, holes, one camera."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.robustness import main

if __name__ == "__main__":
    sys.exit(main())

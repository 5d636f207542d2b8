#!/usr/bin/env python
"""One HTML page to look at: figures, curves, the confusion matrix, and shapes in 3D beside their views."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.report import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Draw prepared shapes: their views, and under each the points that it sees (red) and does not (blue)."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.browse_dataset import main

if __name__ == "__main__":
    sys.exit(main())

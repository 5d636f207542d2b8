#!/usr/bin/env python
"""Print a config as a run would use it: bases merged, overrides applied, counts filled in."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.print_config import main

if __name__ == "__main__":
    sys.exit(main())

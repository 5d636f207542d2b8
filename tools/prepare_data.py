#!/usr/bin/env python
"""Turn a source of shapes into a prepared set."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.prepare_data import main

if __name__ == "__main__":
    sys.exit(main())

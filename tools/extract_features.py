#!/usr/bin/env python
"""Extract the features of all splits of a prepared set, and save them for the protocols."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.extract_features import main

if __name__ == "__main__":
    sys.exit(main())

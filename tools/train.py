#!/usr/bin/env python
"""Train what a config describes."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.train import main

if __name__ == "__main__":
    sys.exit(main())

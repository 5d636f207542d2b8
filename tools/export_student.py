#!/usr/bin/env python
"""Export the student of a checkpoint: the point network alone, with all it needs to be used."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.export_student import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Test a checkpoint of a student or an image teacher."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.test import main

if __name__ == "__main__":
    sys.exit(main())

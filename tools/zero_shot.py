#!/usr/bin/env python
"""Test a student that learned no label by the names of the classes."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.zero_shot import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""The main job on built-in shapes, step by step."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.demo import main

if __name__ == "__main__":
    sys.exit(main())

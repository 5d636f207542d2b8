#!/usr/bin/env python
"""Write down what a trained teacher says of every shape of a prepared set, for students to learn from."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.cache_teacher import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Compare two methods over several seeds: mean, spread, and paired differences with 95 % intervals."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.compare_runs import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Few-shot classification on frozen features: N ways, K shots, 10 episodes of each."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.few_shot import main

if __name__ == "__main__":
    sys.exit(main())

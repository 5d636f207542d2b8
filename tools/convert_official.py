#!/usr/bin/env python
"""Turn a checkpoint of the official PointMCD release into ours."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.convert_official import main

if __name__ == "__main__":
    sys.exit(main())

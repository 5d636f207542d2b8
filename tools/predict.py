#!/usr/bin/env python
"""Say what an exported student sees in files: classes, parts or embeddings."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())

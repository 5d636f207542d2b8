#!/usr/bin/env python
"""Turn names into vectors by an image-text model, for students that are aligned with it."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.embed_text import main

if __name__ == "__main__":
    sys.exit(main())

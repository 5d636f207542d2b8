#!/usr/bin/env python
"""Fine-tune a pre-trained backbone beside training from scratch, at fractions of the labels."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.finetune import main

if __name__ == "__main__":
    sys.exit(main())

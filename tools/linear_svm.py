#!/usr/bin/env python
"""Train a linear SVM on frozen features of the training split, and test it."""

import sys

import _environment  # noqa: F401

from pointmcd.commands.linear_svm import main

if __name__ == "__main__":
    sys.exit(main())

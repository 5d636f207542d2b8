"""Package data and metadata are in pyproject.toml; this file exists to build the optional C++ operators."""

from setuptools import setup

setup()

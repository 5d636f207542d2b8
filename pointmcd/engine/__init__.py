"""Configs, hooks and what MMEngine's Runner needs besides."""

from pointmcd.engine.config import load_config
from pointmcd.engine.mixed_precision import AutocastOptimWrapper
from pointmcd.engine.runner import build_runner

__all__ = ["AutocastOptimWrapper", "build_runner", "load_config"]

"""Configs, hooks and what MMEngine's Runner needs besides."""

from pointmcd.engine.config import load_config
from pointmcd.engine.dist import distribute

__all__ = ["distribute", "load_config"]

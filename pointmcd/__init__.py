"""pointmcd: point cloud networks that learn from images (multi-view cross-modal distillation)."""

__version__ = "0.1.0"

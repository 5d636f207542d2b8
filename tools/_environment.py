"""Imported first by every tool: where packages are missing, say how to get them."""

import importlib.util
import sys

missing = [name for name in ("torch", "mmengine", "pointmcd") if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(
        f"{sys.executable} lacks {', '.join(missing)}; make the environment once, then activate it:\n"
        "make venv\n"
        "source .venv/bin/activate"
    )

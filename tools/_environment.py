"""Imported first by every tool: says how to get missing packages, and lets configs import projects."""

import importlib.util
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # configs import projects.<name> (custom_imports)

missing = [name for name in ("torch", "mmengine", "pointmcd") if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(
        f"{sys.executable} lacks {', '.join(missing)}; make the environment once, then activate it:\n"
        "make venv\n"
        "source .venv/bin/activate"
    )

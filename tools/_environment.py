"""Imported first by every tool: says how to get missing packages, lets configs import projects, and turns
user errors into plain words.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # configs import projects.<name> (custom_imports)

missing = [name for name in ("torch", "mmengine", "pointmcd") if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(
        f"{sys.executable} lacks {', '.join(missing)}; make the environment once, then activate it:\n"
        "make venv\n"
        "source .venv/bin/activate"
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with the message alone where what the user gave is wrong or missing."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None

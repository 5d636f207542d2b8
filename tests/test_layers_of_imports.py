"""Imports point only downward, and the package imports without its heavy dependencies."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "pointmcd"
LEVELS = [
    {"registry", "batch", "checkpoint", "compat", "files", "folders"},
    {"ops", "geometry"},
    {"models", "datasets"},
    {"apis", "visualization", "evaluation", "engine"},
    {"commands"},
]
NOTHING_OF_OURS = {"ops", "geometry"}


def level_of(part: str) -> int:
    return next(number for number, names in enumerate(LEVELS) if part in names)


def imports_of(path: Path) -> set[str]:
    """The second parts (``ops`` of ``pointmcd.ops.knn``) of what a file imports from the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "pointmcd":
            names = [f"pointmcd.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pointmcd.")}
    return found


def test_imports_point_downward():
    upward = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        here = parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for part in imports_of(path):
            if part == here:
                continue
            if here in NOTHING_OF_OURS or level_of(part) > level_of(here):
                upward.append(f"{path.relative_to(PACKAGE)} imports pointmcd.{part}")
    assert not upward


def test_package_never_imports_projects():
    for path in PACKAGE.rglob("*.py"):
        assert "import projects" not in path.read_text()
        assert "from projects" not in path.read_text()


def test_import_needs_no_heavy_package():
    program = (
        "import sys\n"
        "for name in ('timm', 'trimesh', 'pycuda', 'mmcv', 'embreex'): sys.modules[name] = None\n"
        "import pointmcd, pointmcd.ops, pointmcd.models, pointmcd.engine\n"
        "import pointmcd.evaluation, pointmcd.datasets\n"
        "print(pointmcd.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

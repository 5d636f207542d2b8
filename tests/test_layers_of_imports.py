"""Imports point only downward, never in a circle; the package imports without its heavy dependencies."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, PROJECTS = ROOT / "pointmcd", ROOT / "projects"
LEVELS = [
    {"registry", "batch", "checkpoint", "compat", "cpu", "config_files", "files", "folders", "progress"},
    {"ops", "geometry"},
    {"models", "datasets"},
    {"apis", "visualization", "evaluation", "engine"},
    {"report"},
    {"commands"},
    {"__main__"},
]
NOTHING_OF_OURS = {"ops", "geometry"}


def module_of(path: Path, root: Path = ROOT) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(path: Path, module: str) -> set[str]:
    """Absolute names of all that a file imports, inside functions too; ``a.b`` for ``from a import b``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, node.module] if node.module else parts)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def modules_behind(names: set[str]) -> set[str]:
    """The package's modules that the names are, or are in."""
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} & set(MODULES)


GRAPH = {module: modules_behind(imports_of(path, module)) for module, path in MODULES.items()}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_part_has_a_level():
    parts = {part_of(module) for module in MODULES} - {""}
    assert set.union(*LEVELS) == parts


def test_imports_point_downward():
    level = {part: number for number, parts in enumerate(LEVELS) for part in parts}
    upward = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if part_of(module) and part_of(other) and part_of(module) != part_of(other)
        if part_of(module) in NOTHING_OF_OURS or level[part_of(other)] > level[part_of(module)]
    ]
    assert not upward


def test_no_imports_in_a_circle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_every_form_of_import_is_seen(tmp_path):
    path = tmp_path / "kernels.py"
    path.write_text("import a.b\nfrom . import c\ndef f():\n    from ..d import e\n")
    assert imports_of(path, "ops.cuda.kernels") == {"a.b", "ops.cuda.c", "ops.d.e"}
    assert "pointmcd.ops.checks" in GRAPH["pointmcd.ops.cuda.source"]


def test_projects_import_the_package_and_not_the_other_way_round():
    """Nor one another, but for the comparison, which is of them all."""
    folders = {path.name for path in PROJECTS.iterdir() if path.is_dir()}
    packages = folders | {path.parent.name for path in PROJECTS.glob("*/*/__init__.py")} | {"projects"}
    for module, path in MODULES.items():
        assert not {name.split(".")[0] for name in imports_of(path, module)} & packages, path
    for folder in folders - {"comparison"}:
        others = folders - {folder}
        for path in (PROJECTS / folder).rglob("*.py"):
            module = module_of(path, PROJECTS / folder)
            assert not {name.split(".")[0] for name in imports_of(path, module)} & others, path


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

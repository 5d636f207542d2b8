"""The configs that come with pointmcd: ``configs/`` in a checkout, ``pointmcd/configs/`` once installed."""

import difflib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CONFIGS = next(
    (place for place in (PACKAGE / "configs", PACKAGE.parent / "configs") if (place / "_base_").is_dir()),
    PACKAGE / "configs",
)


def find_config(name: str | Path) -> Path:
    """Find a config by its path, or one that comes with pointmcd by its name, with or without ``.py``.

    Args:
        name: Such as ``my/config.py``, ``pointmcd_dgcnn_modelnet`` or ``configs/pointmcd_dgcnn_modelnet.py``.

    Raises:
        FileNotFoundError: There is no such file; the text suggests the nearest names.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.parent in (Path(), Path("configs")):
        stem = path.name.removesuffix(".py")
        if (builtin := CONFIGS / f"{stem}.py").is_file():
            return builtin
        names = sorted(one.stem for one in CONFIGS.glob("*.py"))
        near = difflib.get_close_matches(stem, names, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else f"{CONFIGS} holds those that come with pointmcd"
        )
        raise FileNotFoundError(f"there is no config {name}; {hint}")
    raise FileNotFoundError(f"there is no config {name}")

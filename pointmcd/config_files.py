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
    return _shipped(path)


def find_base(name: str, config: Path) -> Path:
    """Find what a config names as its ``_base_``.

    Args:
        name: A file as seen from the config's folder, or a config that comes with pointmcd, by its name.
        config: The file that names it.

    Raises:
        FileNotFoundError: There is no such file; the text suggests the nearest names.
    """
    beside = config.parent / name
    if beside.is_file() and not beside.samefile(config):
        return beside
    try:
        return _shipped(Path(name))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{config}: _base_: {error}") from None


def _shipped(path: Path) -> Path:
    if path.parent in (Path(), Path("configs")):
        stem = path.name.removesuffix(".py")
        if (builtin := CONFIGS / f"{stem}.py").is_file():
            return builtin
        names = sorted(one.stem for one in CONFIGS.glob("*.py"))
        near = difflib.get_close_matches(stem, names, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else f"{CONFIGS} holds those that come with pointmcd"
        )
        raise FileNotFoundError(f"there is no config {path}; {hint}")
    raise FileNotFoundError(f"there is no config {path}")

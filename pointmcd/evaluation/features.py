"""Features of shapes, which every protocol on frozen features starts from: held, saved, loaded."""

import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.files import check_regular, written_aside

KINDS = {
    "max": "maximum of the backbone's point features",
    "mean": "mean of the backbone's point features",
    "max+mean": "maximum and mean of the backbone's point features, one after the other",
    "descriptor": "descriptor of the classification head",
}
VIEW_POOLS = ("max", "mean")


@dataclass(frozen=True)
class Features:
    """Features of the S shapes of one split.

    Attributes:
        values: (S, C) float32, or (S, V, C) where each view of a shape has its own.
        labels: (S,) int64 classes.
        names: S names.

    Raises:
        ValueError: The three are not of one size, or a value is not finite.
    """

    values: np.ndarray
    labels: np.ndarray
    names: list[str]

    def __post_init__(self) -> None:
        if self.values.ndim not in (2, 3):
            raise ValueError(f"features are (S, C) or (S, V, C), not {self.values.shape}")
        if not len(self.values) == len(self.labels) == len(self.names):
            raise ValueError(
                f"{len(self.values)} features, {len(self.labels)} labels and {len(self.names)} names do "
                "not belong to the same shapes"
            )
        if not np.isfinite(self.values).all():
            raise ValueError("features are not finite")

    def over_views(self, num_views: int | None = None, pool: str = "max", seed: int = 0) -> "Features":
        """Return one feature a shape, pooled over some of its views.

        Args:
            num_views: How many views, drawn for each shape without replacement; None takes all.
            pool: ``max`` or ``mean``.
            seed: Of the draw.

        Returns:
            Features (S, C); those that are one a shape already, as they are.

        Raises:
            ValueError: There are not so many views, or ``pool`` is neither.
        """
        if pool not in VIEW_POOLS:
            raise ValueError(f"views are pooled by {' or '.join(VIEW_POOLS)}, not by {pool!r}")
        if self.values.ndim == 2:
            if num_views is not None:
                raise ValueError("there is one feature per shape, so there are no views to choose from")
            return self
        values = self.values
        if num_views is not None:
            count = values.shape[1]
            if not 1 <= num_views <= count:
                raise ValueError(f"{num_views} views were asked for, of the {count} that a shape has")
            order = np.random.default_rng(seed).random(values.shape[:2]).argsort(1)[:, :num_views]
            values = np.take_along_axis(values, order[..., None], 1)
        return replace(self, values=values.max(1) if pool == "max" else values.mean(1))


@dataclass(frozen=True)
class FeatureSet:
    """Features of the splits of a set, with what they are.

    Attributes:
        splits: By the split's name.
        class_names: K names.
        about: What made the features, as plain values; every report repeats it.
    """

    splits: dict[str, Features]
    class_names: list[str]
    about: dict[str, Any]

    def split(self, name: str) -> Features:
        """Return the features of one split."""
        if name not in self.splits:
            raise ValueError(f"there are no features of split {name!r}, only of {', '.join(self.splits)}")
        return self.splits[name]

    def save(self, path: str | Path) -> None:
        """Write all to one ``.npz`` file without pickle, under a temporary name first.

        The file holds ``class_names``, ``about`` (JSON) and for each split ``<split>/values``,
        ``<split>/labels`` and ``<split>/names``.
        """
        arrays = {
            "class_names": np.asarray(self.class_names, np.str_),
            "about": np.asarray(json.dumps(self.about)),
        }
        for split, features in self.splits.items():
            arrays[f"{split}/values"] = np.asarray(features.values, np.float32)
            arrays[f"{split}/labels"] = np.asarray(features.labels, np.int64)
            arrays[f"{split}/names"] = np.asarray(features.names, np.str_)
        with written_aside(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> "FeatureSet":
        """Read what ``save`` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no such file, or damaged.
        """
        try:
            check_regular(path)
            with np.load(path, allow_pickle=False) as file:
                names = [key.removesuffix("/values") for key in file if key.endswith("/values")]
                splits = {
                    name: Features(
                        file[f"{name}/values"], file[f"{name}/labels"], file[f"{name}/names"].tolist()
                    )
                    for name in names
                }
                found = cls(splits, file["class_names"].tolist(), json.loads(str(file["about"])))
            found._check()
        except (ValueError, TypeError, KeyError, EOFError, RecursionError, MemoryError) as error:
            raise ValueError(
                f"{path} is not a file of features ({error}); pointmcd extract-features writes one"
            ) from error
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a file of features ({error}); pointmcd extract-features writes one"
            ) from error
        return found

    def _check(self) -> None:
        """Refuse what a file may say and no encoder does."""
        if not self.splits or not isinstance(self.about, dict):
            raise ValueError("it has no splits, or does not name what made them")
        for name, features in self.splits.items():
            if features.values.dtype.kind != "f" or features.labels.dtype.kind not in "iu":
                raise ValueError(f"{name} needs features of floats and labels of integers")
            if features.labels.ndim != 1 or not isinstance(self.class_names, list):
                raise ValueError(f"{name} needs one label per shape and a list of classes")
            if not ((features.labels >= 0) & (features.labels < len(self.class_names))).all():
                raise ValueError(f"{name} has labels outside 0 to {len(self.class_names) - 1}")

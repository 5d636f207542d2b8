"""ShapeNetPart: 16 categories of clouds, every point labelled with one of 50 parts."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from pointmcd.datasets.preparation.sources.base import (
    Item,
    Shape,
    Source,
    SourceError,
    add_source,
    check_folder,
)
from pointmcd.datasets.preparation.sources.hdf5 import open_hdf5, read_labels
from pointmcd.datasets.preparation.sources.part_numbers import PartNumbers
from pointmcd.datasets.preparation.sources.rows import read_rows
from pointmcd.datasets.preparation.sources.walk import say, visible_folders
from pointmcd.geometry import whole_parts
from pointmcd.geometry.mesh import MeshError
from pointmcd.registry import SOURCES

CATEGORIES = {
    "airplane": ("02691156", 4),
    "bag": ("02773838", 2),
    "cap": ("02954340", 2),
    "car": ("02958343", 4),
    "chair": ("03001627", 4),
    "earphone": ("03261776", 3),
    "guitar": ("03467517", 3),
    "knife": ("03624134", 2),
    "lamp": ("03636649", 4),
    "laptop": ("03642806", 2),
    "motorbike": ("03790512", 6),
    "mug": ("03797390", 2),
    "pistol": ("03948459", 3),
    "rocket": ("04099429", 3),
    "skateboard": ("04225987", 3),
    "table": ("04379243", 3),
}
"""WordNet offset and number of parts of each category, in the order of the labels of both public forms; the
parts are numbered 0 to 49 in this order."""
LISTS = {"train": ("train", "val"), "test": ("test",)}
"""The official training takes train and val together."""
CATEGORY_FILE = "synsetoffset2category.txt"


@SOURCES.register_module(name="shapenet-part")
class ShapeNetPart(Source):
    """ShapeNetPart in its public forms, told apart by what the folder holds; train and val become train.

    - ``shapenetcore_partanno_segmentation_benchmark_v0_normal``: ``<synset>/<shape>.txt``, rows of ``x y z nx
      ny nz part``, and ``train_test_split/shuffled_{train,val,test}_file_list.json``. A shape that a list
      names but the folder lacks is reported, and the manifest lists it as rejected. A shape that is listed
      both for training and for testing is reported too, and stays in both splits.
    - ``shapenetcore_partanno_segmentation_benchmark_v0``, the first form: ``<synset>/points/<shape>.pts``,
      rows of ``x y z``, and ``<synset>/points_label/<shape>.seg``, a part from 1 a point; the same lists.
    - ``hdf5_data``: ``ply_data_{train,val,test}*.h5`` with ``data`` (S, 2048, 3), ``label`` (S, 1) and
      ``pid`` (S, 2048). There are no normals, and names are numbers. Needs h5py.

    Where ``synsetoffset2category.txt`` of one of the first two names a category that is not ShapeNetPart's,
    the categories are those of that file, with the parts that their shapes have. ``parts.txt`` beside it
    names parts, a line ``category number name`` for each, with the numbers of the files.

    Args:
        source: The unpacked folder, or one above it.
    """

    how_to_prepare: ClassVar = {
        "shapenetpart": "Prepare it: pointmcd prepare shapenet-part "
        "--source shapenetcore_partanno_segmentation_benchmark_v0_normal"
    }

    surfaces, up, rig = False, "y", "rings2x8"
    numbers: PartNumbers

    def __init__(self, source: Path) -> None:
        check_folder(source)
        self.synsets = {name: synset for name, (synset, _) in CATEGORIES.items()}
        for self.root in (source, *visible_folders(source)):
            if (self.root / CATEGORY_FILE).is_file():
                self._open_text()
                break
            if any(self.root.glob("ply_data_*.h5")):
                self._open_stored()
                break
        else:
            raise SourceError(
                f"{source} is not ShapeNetPart: it holds neither {CATEGORY_FILE} (the text forms,\n"
                "shapenetcore_partanno_segmentation_benchmark_v0 and _v0_normal) nor ply_data_*.h5 (the form "
                "hdf5_data)"
            )
        self.part_names, self.class_parts = self.numbers.names, self.numbers.class_parts

    def _open_text(self) -> None:
        named = self._categories()
        own = not set(named.values()) <= {synset for synset, _ in CATEGORIES.values()}
        if own:
            self.synsets = named
        self.class_names = list(self.synsets)
        self.first_form = any(self.root.glob("*/points/*.pts"))
        self.normals = not self.first_form
        self.items = self._listed()
        listed = PartNumbers.listed(self.root, self.class_names)
        if listed is not None:
            self.numbers = listed
        elif own:
            self.numbers = PartNumbers.found(self.class_names, self.items, lambda item: self._read(item)[2])
        else:
            self.numbers = official_numbers(1 if self.first_form else None)

    def _open_stored(self) -> None:
        self.class_names, self.first_form, self.normals = list(CATEGORIES), False, False
        self.numbers = official_numbers()
        self._check_order()
        self.items = [item for split in LISTS for item in self._stored(split)]

    def _categories(self) -> dict[str, str]:
        """Return synsets by names, as ``synsetoffset2category.txt`` has them."""
        path = self.root / CATEGORY_FILE
        rows = [line.split() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        if not rows or any(len(row) != 2 for row in rows):
            raise SourceError(f"{path} is not a list of lines such as `Chair 03001627`")
        names = {name.lower(): synset for name, synset in rows}
        if len(names) < len(rows) or len({*names.values()}) < len(rows):
            raise SourceError(f"{path} names a category twice")
        return names

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "shapenetcore_partanno_segmentation_benchmark_v0_normal or _v0, or hdf5_data")

    def load(self, item: Item) -> Shape:
        points, normals, parts = self._read(item)
        return Shape(points=points, normals=normals, point_parts=self.numbers.of(item.label, parts))

    def _read(self, item: Item) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return points, normals where there are some, and parts as the files number them."""
        if self.first_form:
            points = read_rows(self.root / item.file, "x y z")
            labels = Path(item.file.replace("/points/", "/points_label/", 1)).with_suffix(".seg")
            parts = read_rows(self.root / labels, "part")[:, 0]
            if len(parts) != len(points):
                raise MeshError(f"{labels.name} has {len(parts)} parts, there are {len(points)} points")
            return points, None, whole_parts(parts)
        if self.normals:
            rows = read_rows(self.root / item.file, "x y z nx ny nz part")
            return rows[:, :3], rows[:, 3:6], whole_parts(rows[:, 6])
        name, _, row = item.file.rpartition(":")
        with open_hdf5(self.root / name, {}) as file:
            return file["data"][int(row)].astype(np.float32), None, whole_parts(file["pid"][int(row)])

    def _listed(self) -> list[Item]:
        """Return the shapes of the text forms' three lists, each once a split."""
        labels = {synset: label for label, synset in enumerate(self.synsets.values())}
        items: dict[tuple[str, str], Item] = {}
        missing: dict[str, None] = {}
        for split in LISTS:
            for entry in (entry for part in LISTS[split] for entry in self._entries(part)):
                synset, name = entry.split("/")[-2:]
                if synset not in labels:
                    raise SourceError(
                        f"{self.root}/train_test_split lists {entry}; "
                        f"{synset} is not a category of {CATEGORY_FILE}"
                    )
                file = f"{synset}/points/{name}.pts" if self.first_form else f"{synset}/{name}.txt"
                full_name = f"{self.class_names[labels[synset]]}/{name}"
                items[split, file] = Item(full_name, labels[synset], split, file)
                if not (self.root / file).is_file():
                    missing[file] = None
        shared = [file for split, file in items if split == "test" and ("train", file) in items]
        say(list(missing), "listed shapes are not there and are left out")
        say(shared, "shapes are listed for training and for testing, so that test figures flatter")
        return sorted(items.values(), key=lambda item: (list(LISTS).index(item.split), item.label, item.name))

    def _entries(self, part: str) -> list[str]:
        path = self.root / "train_test_split" / f"shuffled_{part}_file_list.json"
        try:
            entries = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise SourceError(f"{path} is missing: it lists the {part} shapes") from None
        except ValueError as error:
            raise SourceError(f"{path} is damaged: {error}") from error
        known = isinstance(entries, list) and all(isinstance(e, str) and e.count("/") >= 1 for e in entries)
        if not known:
            raise SourceError(f"{path} is not a list of names such as shape_data/03001627/NAME")
        return entries

    def _check_order(self) -> None:
        """Refuse HDF5 files whose labels or parts are numbered otherwise, where they say how."""
        synsets = [synset for synset, _ in CATEGORIES.values()]
        path = self.root / "all_object_categories.txt"
        if path.is_file() and path.read_text("utf-8").split()[1::2] != synsets:
            raise SourceError(f"{path} does not list the 16 categories {', '.join(CATEGORIES)} in this order")
        path = self.root / "overallid_to_catid_partid.json"
        of_parts = [synset for synset, count in CATEGORIES.values() for _ in range(count)]
        if path.is_file() and [synset for synset, _ in json.loads(path.read_text("utf-8"))] != of_parts:
            raise SourceError(f"{path} does not number the 50 parts by category, as ShapeNetPart does")

    def _stored(self, split: str) -> Iterator[Item]:
        """Yield the rows of the HDF5 form's files."""
        files = [path for part in LISTS[split] for path in sorted(self.root.glob(f"ply_data_{part}*.h5"))]
        if not files:
            raise SourceError(f"{self.root} has no ply_data_{split}*.h5")
        for path in files:
            arrays = {"data": (None, None, 3), "label": (None, ...), "pid": (None, None)}
            for row, label in enumerate(read_labels(path, arrays, len(CATEGORIES)).tolist()):
                name = self.class_names[label]
                yield Item(f"{name}/{path.stem}_{row:04d}", label, split, f"{path.name}:{row}")


def official_numbers(first: int | None = None) -> PartNumbers:
    """Return ShapeNetPart's 50 parts; numbered 0 to 49 in the files, or in each category from ``first``."""
    parts, start = {}, 0
    for name, (_, count) in CATEGORIES.items():
        parts[name] = {(start if first is None else first) + part: str(part) for part in range(count)}
        start += count
    return PartNumbers(parts)

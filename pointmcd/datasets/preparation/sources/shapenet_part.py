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
    number_parts,
)
from pointmcd.datasets.preparation.sources.hdf5 import open_hdf5
from pointmcd.datasets.preparation.sources.rows import read_rows
from pointmcd.datasets.preparation.sources.walk import NAMES_SHOWN, say, visible_folders
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
    """ShapeNetPart in either public form, told apart by what the folder holds; train and val become train.

    - ``shapenetcore_partanno_segmentation_benchmark_v0_normal``: ``<synset>/<shape>.txt``, rows of ``x y z nx
      ny nz part``, and ``train_test_split/shuffled_{train,val,test}_file_list.json``. A shape that a list
      names but the folder lacks is reported, and the manifest lists it as rejected. A shape that is listed
      both for training and for testing is reported too, and stays in both splits.
    - ``hdf5_data``: ``ply_data_{train,val,test}*.h5`` with ``data`` (S, 2048, 3), ``label`` (S, 1) and
      ``pid`` (S, 2048). There are no normals, and names are numbers. Needs h5py.

    Args:
        source: the unpacked folder, or one above it.
    """

    how_to_prepare: ClassVar = {
        "shapenetpart": "Prepare it: python tools/prepare_data.py shapenet-part "
        "--source shapenetcore_partanno_segmentation_benchmark_v0_normal"
    }

    surfaces, up, rig = False, "y", "rings2x8"
    class_parts: list[list[int]]

    def __init__(self, source: Path) -> None:
        check_folder(source)
        self.class_names = list(CATEGORIES)
        self.part_names, self.class_parts = number_parts(
            {name: range(count) for name, (_, count) in CATEGORIES.items()}
        )
        for folder in (source, *visible_folders(source)):
            if (folder / CATEGORY_FILE).is_file():
                if any(folder.glob("*/points/*.pts")):
                    raise SourceError(
                        f"{folder} is ShapeNetPart's first form (points/*.pts, points_label/*.seg),\n"
                        "which is not read; read are shapenetcore_partanno_segmentation_benchmark_v0_normal "
                        "and hdf5_data"
                    )
                self.root, self.normals = folder, True
                self.items = self._listed()
                return
            if any(folder.glob("ply_data_*.h5")):
                self.root, self.normals = folder, False
                self._check_order()
                self.items = [item for split in LISTS for item in self._stored(split)]
                return
        raise SourceError(
            f"{source} is not ShapeNetPart: it holds neither {CATEGORY_FILE} (the text form,\n"
            "shapenetcore_partanno_segmentation_benchmark_v0_normal) nor ply_data_*.h5 (the form hdf5_data)"
        )

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "shapenetcore_partanno_segmentation_benchmark_v0_normal or hdf5_data")

    def load(self, item: Item) -> Shape:
        normals: np.ndarray | None
        if self.normals:
            rows = read_rows(self.root / item.file, "x y z nx ny nz part")
            points, normals, parts = rows[:, :3], rows[:, 3:6], rows[:, 6]
        else:
            points, normals, parts = self._row(item)
        with np.errstate(invalid="ignore"):
            whole = parts.astype(np.int64)
        if (whole != parts).any():
            raise MeshError(f"the part {parts[whole != parts][0]:g} is no whole number")
        parts, known = whole, self.class_parts[item.label]
        if strange := sorted(set(np.unique(parts).tolist()) - set(known)):
            name = self.class_names[item.label]
            raise MeshError(f"parts {strange[:NAMES_SHOWN]}; a {name} has {known[0]} to {known[-1]}")
        return Shape(points=points, normals=normals, point_parts=parts)

    def _listed(self) -> list[Item]:
        """The shapes of the text form's three lists, each once a split."""
        labels = {synset: label for label, (synset, _) in enumerate(CATEGORIES.values())}
        items: dict[tuple[str, str], Item] = {}
        missing: dict[str, None] = {}
        for split in LISTS:
            for entry in (entry for part in LISTS[split] for entry in self._entries(part)):
                synset, name = entry.split("/")[-2:]
                if synset not in labels:
                    raise SourceError(
                        f"{self.root}/train_test_split lists {entry}; {synset} is no category of ShapeNetPart"
                    )
                file = f"{synset}/{name}.txt"
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
            raise SourceError(f"{path} is no list of names such as shape_data/03001627/NAME")
        return entries

    def _check_order(self) -> None:
        """Refuses HDF5 files whose labels or parts are numbered otherwise, where they say how."""
        synsets = [synset for synset, _ in CATEGORIES.values()]
        path = self.root / "all_object_categories.txt"
        if path.is_file() and path.read_text("utf-8").split()[1::2] != synsets:
            raise SourceError(f"{path} does not list the 16 categories {', '.join(CATEGORIES)} in this order")
        path = self.root / "overallid_to_catid_partid.json"
        of_parts = [synset for synset, count in CATEGORIES.values() for _ in range(count)]
        if path.is_file() and [synset for synset, _ in json.loads(path.read_text("utf-8"))] != of_parts:
            raise SourceError(f"{path} does not number the 50 parts by category, as ShapeNetPart does")

    def _stored(self, split: str) -> Iterator[Item]:
        """The rows of the HDF5 form's files."""
        files = [path for part in LISTS[split] for path in sorted(self.root.glob(f"ply_data_{part}*.h5"))]
        if not files:
            raise SourceError(f"{self.root} has no ply_data_{split}*.h5")
        for path in files:
            with open_hdf5(
                path, {"data": (None, None, 3), "label": (None, ...), "pid": (None, None)}
            ) as file:
                labels = file["label"][:].reshape(len(file["data"]), -1)[:, 0]
            if not np.isin(labels, range(len(CATEGORIES))).all():
                raise SourceError(f"{path} has labels {labels.min()} to {labels.max()}, not 0 to 15")
            for row, label in enumerate(labels.astype(np.int64).tolist()):
                name = self.class_names[label]
                yield Item(f"{name}/{path.stem}_{row:04d}", label, split, f"{path.name}:{row}")

    def _row(self, item: Item) -> tuple[np.ndarray, None, np.ndarray]:
        name, _, row = item.file.rpartition(":")
        with open_hdf5(self.root / name, {}) as file:
            return file["data"][int(row)].astype(np.float32), None, file["pid"][int(row)]

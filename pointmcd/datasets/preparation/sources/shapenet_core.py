"""ShapeNetCore: meshes of 55 categories, for training without labels."""

import argparse
from pathlib import Path
from typing import ClassVar

from pointmcd.datasets.preparation.sources.base import (
    Item,
    Shape,
    Source,
    SourceError,
    add_source,
    check_folder,
)
from pointmcd.datasets.preparation.sources.walk import visible_folders
from pointmcd.geometry.mesh import load_mesh
from pointmcd.registry import SOURCES

SYNSETS = {
    "02691156": "airplane",
    "02747177": "ashcan",
    "02773838": "bag",
    "02801938": "basket",
    "02808440": "bathtub",
    "02818832": "bed",
    "02828884": "bench",
    "02834778": "bicycle",
    "02843684": "birdhouse",
    "02858304": "boat",
    "02871439": "bookshelf",
    "02876657": "bottle",
    "02880940": "bowl",
    "02924116": "bus",
    "02933112": "cabinet",
    "02942699": "camera",
    "02946921": "can",
    "02954340": "cap",
    "02958343": "car",
    "02992529": "cellphone",
    "03001627": "chair",
    "03046257": "clock",
    "03085013": "keyboard",
    "03207941": "dishwasher",
    "03211117": "display",
    "03261776": "earphone",
    "03325088": "faucet",
    "03337140": "file_cabinet",
    "03467517": "guitar",
    "03513137": "helmet",
    "03593526": "jar",
    "03624134": "knife",
    "03636649": "lamp",
    "03642806": "laptop",
    "03691459": "loudspeaker",
    "03710193": "mailbox",
    "03759954": "microphone",
    "03761084": "microwave",
    "03790512": "motorbike",
    "03797390": "mug",
    "03928116": "piano",
    "03938244": "pillow",
    "03948459": "pistol",
    "03991062": "pot",
    "04004475": "printer",
    "04074963": "remote_control",
    "04090263": "rifle",
    "04099429": "rocket",
    "04225987": "skateboard",
    "04256520": "sofa",
    "04330267": "stove",
    "04379243": "table",
    "04401088": "telephone",
    "04460130": "tower",
    "04468005": "train",
    "04530566": "vessel",
    "04554684": "washer",
}
"""WordNet offsets: the 55 categories, and 02834778 and 02858304, which version 1 alone has besides."""
MESHES = ("model.obj", "models/model_normalized.obj")
"""Where a shape's mesh lies in its folder: version 1, version 2."""


@SOURCES.register_module(name="shapenet-core")
class ShapeNetCore(Source):
    """ShapeNetCore version 1 (``<synset>/<model>/model.obj``) or 2 (``.../models/model_normalized.obj``).

    There is one split, train. Categories are those that are there. A shape's folder without a mesh is
    rejected, with the reason in the manifest.

    Args:
        source: The unpacked folder that holds the synsets, or one above it.
    """

    how_to_prepare: ClassVar = {
        "shapenetcore": "Prepare it: pointmcd prepare shapenet-core --source ShapeNetCore.v2"
    }

    up, rig = "y", "rings2x8"

    def __init__(self, source: Path) -> None:
        check_folder(source)
        for self.root in (source, *visible_folders(source)):
            if folders := [folder for folder in visible_folders(self.root) if folder.name in SYNSETS]:
                break
        else:
            raise SourceError(
                f"{source} is not ShapeNetCore: it holds no folders named by synsets, such as 02691156 or "
                "03001627.\nFor any other folder of meshes, use mesh-folder, with --unlabelled where it "
                "has no classes."
            )
        self.class_names = sorted(SYNSETS[folder.name] for folder in folders)
        labels = {name: label for label, name in enumerate(self.class_names)}
        self.items = []
        for folder in folders:
            name = SYNSETS[folder.name]
            for model in visible_folders(folder):
                found = next((mesh for mesh in MESHES if (model / mesh).is_file()), MESHES[-1])
                file = (model / found).relative_to(self.root).as_posix()
                self.items.append(Item(f"{name}/{model.name}", labels[name], "train", file))
        if not self.items:
            raise SourceError(f"{self.root} has folders of synsets, but no shapes in them")
        self.items.sort(key=lambda item: (item.label, item.name))

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "ShapeNetCore.v1 or .v2")

    def load(self, item: Item) -> Shape:
        return Shape(mesh=load_mesh(self.root / item.file))

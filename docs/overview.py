"""Draw overview.png, the picture of README.md, from generated shapes and a student of their parts.

S="--train 60 --test 8 --categories chair lamp table --rig rings2x8 --image-size 128"
O="data_root=data train_cfg.max_epochs=10 train_cfg.val_interval=10"
for split in train val test; do O="$O ${split}_dataloader.dataset.num_points=256"; done
pointmcd prepare builtin --out data $S
pointmcd train baseline_pointnet_builtinpart --work-dir run --cfg-options $O
pointmcd export baseline_pointnet_builtinpart run/epoch_10.pth student.pth --cfg-options $O
python docs/overview.py data student.pth docs/overview.png
"""

import io
import sys

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from pointmcd.apis import load_student
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry.cameras import CameraRig
from pointmcd.visualization.parts import part_colors
from pointmcd.visualization.shapes import HIDDEN, SEEN
from pointmcd.visualization.text import Picture

VIEWS = (1, 3, 13)
PANEL, TOP, LEFT = 1.35, 0.32, 0.1  # inches
COLUMNS = ("view 1", "view 2", "view 3", "what view 1 sees", "the student's parts")


def draw(data: str, student_file: str, out: str) -> None:
    """Draw the first test shape of each class."""
    prepared, student = PreparedSet(data), load_student(student_file)
    shapes = prepared.split("test")
    rows = [int(np.flatnonzero(shapes.labels == label)[0]) for label in range(len(prepared.class_names))]
    width, height = LEFT + PANEL * len(COLUMNS), TOP + PANEL * len(rows)
    picture = Picture(width, height)
    rig = CameraRig.from_dict(prepared.manifest["rig"])
    for column, title in enumerate(COLUMNS):
        picture.text(
            (LEFT + PANEL * (column + 0.5)) / width, 1 - TOP / 2 / height, title, ha="center", fontsize=8
        )
    for place, row in enumerate(rows):
        label = int(shapes.labels[row])
        points = np.asarray(shapes.points[row])
        seen = (shapes.visibility[row] >> np.uint32(VIEWS[0])) & 1 == 1
        found = student.segment(points, prepared.class_names[label])
        colors = part_colors(found.parts, prepared.class_parts[label])
        for column in range(len(COLUMNS)):
            left, bottom = LEFT + PANEL * column, height - TOP - PANEL * (place + 1)
            axes = picture.add_axes((left / width, bottom / height, PANEL / width, PANEL / height))
            axes.set(xlim=(0, 1), ylim=(1, 0))
            axes.set_axis_off()
            if column < len(VIEWS):
                axes.imshow(shapes.views.read(row, VIEWS[column]), extent=(0, 1, 1, 0))
                continue
            by_parts = column > len(VIEWS)
            pixels, depth = (
                value[VIEWS[0]] for value in rig.project(found.points if by_parts else points, 1)
            )
            chosen = colors if by_parts else np.where(seen[:, None], to_rgb(SEEN), to_rgb(HIDDEN))
            order = np.argsort(-depth)
            axes.scatter(*pixels[order].T, s=3000 / len(order), c=chosen[order], linewidths=0)
    buffer = io.BytesIO()
    picture.savefig(buffer, dpi=150)
    Image.open(buffer).convert("RGB").quantize(64).save(out, optimize=True)


if __name__ == "__main__":
    draw(*sys.argv[1:])

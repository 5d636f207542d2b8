"""Draw what a pre-trained model says of views that it never had: its features beside the image network's.

    python -m projects.mvnet.tools.draw projects/mvnet/configs/mvnet_dgcnn_builtin.py EPOCH_20.pth figure.png

A row a shape of the test split. From the left: a view; another one, with pixels that show the same points in
the same colour in both; what the image network says of the first view, at one level, and what the points'
features say there; the same of the second view. The three colour channels are the first principal components
of the image network's features, which the points' features share: the same colour means the same feature.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from pointmcd.batch import Batch
from pointmcd.checkpoint import load_weights, read_checkpoint, read_state_dict
from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.engine import load_config
from pointmcd.engine.agreement import check_backbone
from pointmcd.registry import MODELS
from projects.mvnet.mvnet import MVNet, PosedShapes

TITLES = ("view a", "view b", "image network, a", "points, a", "image network, b", "points, b")


@torch.no_grad()
def pictures(model: MVNet, batch: Batch, level: int) -> list[tuple]:
    """Return, for each shape of a batch with two views, matches (M, 4) as pixels and four maps in 0..1."""
    depths, cameras = batch["depths"], model.views.cameras(batch)
    side = depths.shape[-1]
    surface = model.views.unproject(depths, cameras)
    positions = (torch.arange(model.views.stride // 2, side, model.views.stride) + 0.5) / side
    targets = F.normalize(model.teacher.maps(batch, positions)[level], dim=-1)
    maps, _ = model.view_maps(batch, surface)
    predicted = F.normalize(model.transfer.heads[level](maps.flatten(0, 3)).view(targets.shape), dim=-1)
    matches = model.views.match(surface, depths, cameras)
    shown = []
    for shape in range(len(depths)):
        valid = surface.valid[shape]
        known = targets[shape][valid]
        basis = torch.pca_lowrank(known, 3, niter=8)[2]
        colours = [(part[shape] - known.mean(0)) @ basis for part in (targets, predicted)]
        spread = 2.5 * colours[0][valid].std(0)
        colours = [(colour / spread / 2 + 0.5).clamp(0, 1) for colour in colours]
        colours = [colour.where(valid.unsqueeze(-1), torch.ones(3)) for colour in colours]
        found = matches.found[shape, 0, 1]
        v, u = torch.meshgrid(positions, positions, indexing="ij")
        pairs = torch.cat([torch.stack([u, v], -1)[found], matches.position[shape, 0, 1][found]], -1) * side
        shown.append((pairs.numpy(), [colour[view].numpy() for view in (0, 1) for colour in colours]))
    return shown


def check_rows(option: str, rows: Sequence[int], count: int) -> None:
    """Refuse rows that are not there.

    Raises:
        ValueError: The text names the option and the rows that there are.
    """
    if wrong := [row for row in rows if not 0 <= row < count]:
        raise ValueError(f"{option} {wrong[0]} is not there; choose from 0 to {count - 1}")


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="config of the pre-training, with an ImageNetwork")
    add("checkpoint", type=Path)
    add("out", type=Path, help="picture to write")
    add("--shapes", type=int, nargs="+", default=[0, 60, 120, 165], help="rows of the test split")
    add("--views", type=int, nargs=2, default=[0, 2], help="the two views (0 2)")
    add("--level", type=int, default=-1, help="of the image network's levels (the last)")
    add("--stride", type=int, default=4, help="of the grid that is drawn, in pixels (4)")
    add_cfg_options(parser, "as in the pre-training")
    args = parser.parse_args(argv)
    config = load_config(args.config, args.cfg_options)
    if args.stride < 1:
        raise ValueError(f"--stride is {args.stride}, must be at least 1")
    config.model.stride = args.stride
    if args.checkpoint.suffix != ".safetensors":  # which holds weights and says nothing of a config
        check_backbone(config.model.backbone, read_checkpoint(args.checkpoint), args.checkpoint)
    model = MODELS.build(config.model).eval()
    load_weights(model, read_state_dict(args.checkpoint), f"{args.checkpoint} does not fit the config")
    training = config.train_dataloader.dataset
    dataset = PosedShapes(
        config.data_root,
        "test",
        num_points=training.num_points,
        views="all",
        depths=True,
        colors=training.get("colors", False),
    )
    check_rows("--shapes", args.shapes, len(dataset))
    check_rows("--views", args.views, dataset.prepared.num_views)
    whole: dict[str, Any] = {**dataset.__getitems__(args.shapes)}
    for key in ("views", "depths", "view_index", "cameras"):
        if key in whole:
            whole[key] = whole[key][:, args.views]
    batch = cast(Batch, whole)
    rows = pictures(model, batch, args.level)
    figure = Figure(figsize=(12, 2.1 * len(rows)))
    axes = figure.subplots(len(rows), 6, squeeze=False)
    for line, views, (pairs, maps) in zip(
        axes, batch["views"].permute(0, 1, 3, 4, 2).numpy(), rows, strict=True
    ):
        hue = np.arange(len(pairs)) / max(len(pairs), 1)
        for axis, image, place in zip(line, views, (pairs[:, :2], pairs[:, 2:]), strict=False):
            axis.imshow(image, extent=(0, image.shape[1], image.shape[0], 0))
            axis.scatter(*place.T, c=hue, cmap="hsv", s=5)
        for axis, colour in zip(line[2:], maps, strict=True):
            axis.imshow(colour, interpolation="nearest")
    for axis, title in zip(axes[0], TITLES, strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.tight_layout()
    temporary = args.out.with_name(f"{args.out.stem}.partial{args.out.suffix}")
    figure.savefig(temporary, dpi=90)
    temporary.replace(args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()

"""Whether a network says the same of one surface point in two views that it never had.

With one cloud for all views that is solved from the start: both read the same feature at the same place.
Here each view has a cloud of its own, made of what that view alone shows, turned about the vertical by an
angle of its own and moved to its own mean, so that neither place nor heading tells where a point is.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd import ops
from pointmcd.batch import Batch
from pointmcd.datasets.transforms import RandomRotate
from projects.mvnet.mvnet.views import PosedViews, Surface, overlap

PointFeatures = Callable[[Batch], Tensor]
"""From ``points`` and ``colors`` (B, N, 3) to features (B, N, L)."""


def colour_features(batch: Batch) -> Tensor:
    """Return what the colour alone tells: (B, N, 6), the more similar the nearer two colours are."""
    angle = torch.pi * batch["colors"]
    return torch.cat([angle.cos(), angle.sin()], -1)


@torch.no_grad()
def matching_errors(
    describe: PointFeatures, batch: Batch, views: PosedViews, num_points: int, min_overlap: float = 0.3
) -> tuple[Tensor, Tensor]:
    """Find each grid node of a view in another by its feature alone: as the node there with the most similar.

    All ordered pairs of views count of which the second sees enough of what the first shows.

    Args:
        describe: Says something of each point.
        batch: Of `PosedShapes`, with ``views`` and ``depths``; B shapes, v views.
        views: The grid, and how near depths must be to be those of one point.
        num_points: Of the cloud of each view, drawn from its pixels.
        min_overlap: Least share of the first view's nodes that the second sees.

    Returns:
        errors: (R,) distances, in bounding radii, between the surface point looked for and the one found.
        chance: (R,) the same of a node of the second view drawn at random.
    """
    cameras = views.cameras(batch)
    surface = views.unproject(batch["depths"], cameras)
    matches = views.match(surface, batch["depths"], cameras)
    features = F.normalize(node_features(describe, batch, surface, views, num_points).float(), dim=-1)
    enough = overlap(matches.found, surface.valid) >= min_overlap
    enough &= ~torch.eye(enough.shape[-1], dtype=torch.bool, device=enough.device)
    errors, chance = [features.new_zeros(0)], [features.new_zeros(0)]
    for shape, first, second in enough.nonzero().tolist():
        found, there = matches.found[shape, first, second], surface.valid[shape, second]
        truth, places = surface.points[shape, first][found], surface.points[shape, second][there]
        similarity = features[shape, first][found] @ features[shape, second][there].T
        drawn = torch.randint(len(places), (len(truth),), device=places.device)
        errors.append((places[similarity.argmax(1)] - truth).norm(dim=-1))
        chance.append((places[drawn] - truth).norm(dim=-1))
    return torch.cat(errors), torch.cat(chance)


def node_features(
    describe: PointFeatures, batch: Batch, surface: Surface, views: PosedViews, num_points: int
) -> Tensor:
    """Return the features (B, v, h, w, L) of grid nodes, each view from its own cloud."""
    fine = PosedViews(None, max(views.stride // 4, 1), views.eps)
    dense = fine.unproject(batch["depths"], views.cameras(batch))
    # Pixels that show nothing come last; a view that shows fewer than num_points repeats those that it shows.
    lottery = torch.rand(dense.valid.shape, device=dense.valid.device) + dense.valid
    order = lottery.flatten(0, 1).flatten(1).argsort(1, descending=True)
    count = dense.valid.flatten(0, 1).flatten(1).sum(1, keepdim=True).clamp(min=1)
    rows = order.gather(1, torch.arange(num_points, device=order.device) % count).unsqueeze(-1)
    rows = rows.expand(-1, -1, 3)
    points = dense.points.flatten(0, 1).flatten(1, 2).gather(1, rows)
    nodes = surface.points.flatten(0, 1).flatten(1, 2)
    middle = points.mean(1, keepdim=True)
    turned = RandomRotate()({"points": torch.cat([points, nodes], 1) - middle})["points"]
    nodes, cloud = turned[:, num_points:].contiguous(), turned[:, :num_points].contiguous()
    start = fine.stride // 2
    shown = batch["views"][..., start :: fine.stride, start :: fine.stride].flatten(0, 1).flatten(2)
    colors = shown.transpose(1, 2).gather(1, rows).float() / 255
    read = ops.interpolate(nodes, cloud, describe({"points": cloud, "colors": colors}))
    return read.view(*surface.valid.shape, -1)

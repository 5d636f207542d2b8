"""The official path of every hot operation, in naive torch, written from the formulas.

Layouts are those of the official networks (channels second, one copy of a point's features for every edge,
view or group member that uses it); parameters are those of our models, so that both sides compute the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.models.backbones import DGCNN, PointNet, PointNet2
from pointmcd.models.backbones.pointnet import TNet
from pointmcd.models.layers import EdgeConv, LinearNormAct, SetAbstraction
from pointmcd.models.layers.set_abstraction import BallMLP


def visibility_pool(feats: Tensor, visible: Tensor) -> Tensor:
    """Repeat feats (B, N, D) and masks (B, N, V) to (B, V, N, D), multiply, and take the max over N."""
    views = visible.shape[2]
    repeated = feats.unsqueeze(1).repeat(1, views, 1, 1)
    masks = visible.transpose(1, 2).unsqueeze(-1).repeat(1, 1, 1, feats.shape[2])
    return (repeated * masks).max(2).values


def knn(points: Tensor, k: int) -> Tensor:
    return torch.cdist(points, points).topk(k, dim=-1, largest=False).indices


def index_points(points: Tensor, index: Tensor) -> Tensor:
    """Take points (B, N, C) and index (B, ...) to (B, ..., C)."""
    batch = torch.arange(len(points), device=points.device).view(-1, *[1] * (index.dim() - 1))
    return points[batch.expand(index.shape), index]


def shared(layer: LinearNormAct, x: Tensor, slope: float | None = None) -> Tensor:
    """Apply a 1x1 convolution with batch norm and (leaky) ReLU to (B, C, ...)."""
    weight = layer.linear.weight[:, :, None, None] if x.dim() == 4 else layer.linear.weight[:, :, None]
    y = F.conv2d(x, weight) if x.dim() == 4 else F.conv1d(x, weight)
    y = norm(layer, y)
    slope = layer.negative_slope if slope is None else slope
    return F.leaky_relu(y, slope) if slope else F.relu(y)


def norm(layer: LinearNormAct, y: Tensor) -> Tensor:
    n = layer.norm
    assert n.momentum is not None
    return F.batch_norm(y, n.running_mean, n.running_var, n.weight, n.bias, n.training, n.momentum, n.eps)


def edge_conv(x: Tensor, neighbors: Tensor, *layers: LinearNormAct) -> Tensor:
    """Gather and concatenate neighbours; convolve (B, 2C, N, k), batch norm, leaky ReLU a layer; max."""
    near = index_points(x, neighbors)
    center = x.unsqueeze(2).repeat(1, 1, neighbors.shape[2], 1)
    edges = torch.cat([center, near - center], -1).permute(0, 3, 1, 2).contiguous()
    for layer in layers:
        edges = shared(layer, edges)
    return edges.max(-1).values.transpose(1, 2).contiguous()


def farthest_point_sample(points: Tensor, count: int) -> Tensor:
    batch, size, _ = points.shape
    chosen = torch.zeros(batch, count, dtype=torch.long, device=points.device)
    distance = torch.full((batch, size), 1e10, dtype=points.dtype, device=points.device)
    farthest = torch.zeros(batch, dtype=torch.long, device=points.device)
    rows = torch.arange(batch, device=points.device)
    for i in range(count):
        chosen[:, i] = farthest
        center = points[rows, farthest].view(batch, 1, 3)
        to_center = ((points - center) ** 2).sum(-1)
        nearer = to_center < distance
        distance[nearer] = to_center[nearer]
        farthest = distance.max(-1)[1]
    return chosen


def square_distance(a: Tensor, b: Tensor) -> Tensor:
    product = -2 * torch.matmul(a, b.transpose(1, 2))
    return product + (a**2).sum(-1).unsqueeze(2) + (b**2).sum(-1).unsqueeze(1)


def ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    batch, size, _ = points.shape
    index = torch.arange(size, device=points.device).view(1, 1, size).repeat(batch, centers.shape[1], 1)
    index[square_distance(centers, points) > radius**2] = size
    index = index.sort(-1)[0][:, :, :k]
    first = index[:, :, :1].repeat(1, 1, index.shape[2])
    return torch.where(index == size, first, index)


def interpolate(queries: Tensor, points: Tensor, feats: Tensor) -> Tensor:
    distance, index = square_distance(queries, points).sort(-1)
    distance, index = distance[:, :, :3], index[:, :, :3]
    weight = 1 / (distance + 1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    return (index_points(feats, index) * weight.unsqueeze(-1)).sum(2)


def pointnet(backbone: PointNet, points: Tensor) -> Tensor:
    """Return point features (B, N, C) of ``pointmcd.models.backbones.PointNet``."""
    aligned = torch.bmm(points, tnet(backbone.point_tnet, points.transpose(1, 2)))
    x = shared(backbone.layer1, aligned.transpose(1, 2))
    x = torch.bmm(x.transpose(1, 2), tnet(backbone.feature_tnet, x)).transpose(1, 2)
    return shared(backbone.fusion, shared(backbone.layer2, x)).transpose(1, 2)


def tnet(net: TNet, x: Tensor) -> Tensor:
    """Map (B, C, N) to matrices (B, C, C)."""
    for layer in (*net.point_layers, net.fusion):
        x = shared(layer, x)
    x = x.max(2).values
    for layer in net.dense_layers:
        assert isinstance(layer, LinearNormAct)
        x = F.relu(norm(layer, F.linear(x, layer.linear.weight)))
    return net.matrix(x).view(-1, net.channels, net.channels) + torch.eye(net.channels, device=x.device)


def dgcnn(backbone: DGCNN, points: Tensor) -> Tensor:
    """Return point features (B, N, C) of ``pointmcd.models.backbones.DGCNN``."""
    x, levels = points, []
    for layer in backbone.edge_convs:
        assert isinstance(layer, EdgeConv)
        x = edge_conv(x, knn(x, layer.k), layer)
        levels.append(x)
    return shared(backbone.fusion, torch.cat(levels, -1).transpose(1, 2)).transpose(1, 2)


def pointnet2(backbone: PointNet2, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the point features (B, M, C) of ``pointmcd.models.backbones.PointNet2``, and their points."""
    xyz = points
    feats: Tensor | None = None
    kept: Tensor | None = None
    for level in backbone.levels:
        assert isinstance(level, SetAbstraction)
        (ball,) = level.scales
        assert isinstance(ball, BallMLP)
        chosen = farthest_point_sample(xyz, level.num_points)
        centers = index_points(xyz, chosen)
        index = ball_query(xyz, centers, ball.radius, ball.k)
        group = index_points(xyz, index) - centers.unsqueeze(2)
        if feats is not None:
            group = torch.cat([group, index_points(feats, index)], -1)
        x = group.permute(0, 3, 2, 1).contiguous()  # (B, C, k, M)
        for layer in (ball.first, *ball.middle, ball.last):
            x = shared(layer, x)
        feats = x.max(2).values.transpose(1, 2)
        xyz = centers
        kept = chosen if kept is None else kept.gather(1, chosen)
    assert feats is not None
    assert kept is not None
    x = torch.cat([xyz, feats], -1).transpose(1, 2)
    for layer in (*backbone.point_layers, backbone.fusion):
        x = shared(layer, x)
    return x.transpose(1, 2), kept

"""Augmentation of scenes together with their boxes."""

import torch

from pointmcd.registry import TRANSFORMS
from projects.mvnet.mvnet.detection.scene_set import SceneBatch


@TRANSFORMS.register_module()
class MoveScene:
    """Mirror, turn by quarters about z and scale each scene, so that its boxes stay axis-aligned.

    Args:
        mirror: Mirror x in half of the scenes.
        turn: Turn by 0, 90, 180 or 270 degrees.
        low: Smallest factor, above 0, one for all axes.
        high: Largest factor.
    """

    def __init__(self, mirror: bool = True, turn: bool = True, low: float = 0.9, high: float = 1.1) -> None:
        if not 0 < low <= high:
            raise ValueError(f"MoveScene: needs 0 < low <= high, not {low} and {high}")
        self.mirror, self.turn, self.low, self.high = mirror, turn, low, high

    def __call__(self, batch: SceneBatch) -> SceneBatch:
        points = batch["points"]
        move = torch.eye(3, device=points.device).repeat(len(points), 1, 1)  # rows: where x, y and z go
        if self.mirror:
            move[torch.rand(len(points), device=points.device) < 0.5, 0, 0] = -1
        if self.turn:
            quarter = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], device=points.device)
            turns = torch.stack([torch.linalg.matrix_power(quarter, times) for times in range(4)])
            move = move @ turns[torch.randint(4, (len(points),), device=points.device)]
        move = move * torch.empty(len(points), 1, 1, device=points.device).uniform_(self.low, self.high)
        center, size = batch["boxes"].split(3, -1)
        boxes = torch.cat([center @ move, size @ move.abs()], -1)
        return {**batch, "points": points @ move, "boxes": boxes}

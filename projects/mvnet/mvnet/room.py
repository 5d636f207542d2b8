"""Synthetic rooms in ScanNet's layout, rendered by ray casting: scenes to try without licensed data."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh

from pointmcd.geometry import RayScene

WALL, FLOOR, CABINET, BED, TABLE = 1, 2, 3, 4, 7  # NYU40


class Box(NamedTuple):
    """An upright box."""

    label: int
    center: tuple[float, float, float]  # metres
    size: tuple[float, float, float]


def random_room(seed: int) -> list[Box]:
    """Floor, four walls, a table of five boxes, a cabinet and a bed, in metres; the floor is at z = 0."""
    draw = np.random.default_rng(seed)
    width, depth, height, thick = draw.uniform(3.5, 4.5), draw.uniform(3, 4), 2.4, 0.1
    boxes = [Box(FLOOR, (0, 0, -thick / 2), (width, depth, thick))]
    for sign in (-1, 1):
        x, y = sign * (width + thick) / 2, sign * (depth + thick) / 2
        boxes.append(Box(WALL, (x, 0, height / 2), (thick, depth, height)))
        boxes.append(Box(WALL, (0, y, height / 2), (width, thick, height)))
    side, tall = draw.uniform(0.4, 0.8), draw.uniform(1.2, 2)
    boxes.append(Box(CABINET, (width / 2 - 0.25, 0.3 - depth / 4, tall / 2), (0.5, side, tall)))
    long = draw.uniform(1.4, 1.8)
    boxes.append(Box(BED, (long / 2 - width / 2, depth / 2 - 0.5, 0.2), (long, 1, 0.4)))
    x, y, top = draw.uniform(-0.5, 0.5), draw.uniform(-0.6, -0.2), draw.uniform(0.7, 0.8)
    boxes.append(Box(TABLE, (x, y, top), (1.2, 0.7, 0.05)))
    for right in (-1, 1):
        for back in (-1, 1):
            boxes.append(Box(TABLE, (x + 0.55 * right, y + 0.3 * back, top / 2), (0.06, 0.06, top)))
    return boxes


TILE = 0.4
"""Side of the tiles that all surfaces are painted with, in metres."""


def paint(points: np.ndarray) -> np.ndarray:
    """Return the colour (..., 3) uint8 of surface points (..., 3): tiles over a slow gradient."""
    odd = np.floor(points / TILE + 0.25).astype(np.int64).sum(axis=-1, keepdims=True) % 2
    return np.round(128 + 70 * np.sin(points * (1.1, 1.7, 2.3)) + np.where(odd, 35, -35)).astype(np.uint8)


def write_room(
    folder: Path, boxes: list[Box], frames: int, size: tuple[int, int] = (80, 60), seed: int = 0
) -> None:
    """Render a room from within and write it in ScanNet's layout.

    Cameras stand near the middle at eye height, turned by equal angles, and look down a little.

    Args:
        folder: Of the scene; made.
        boxes: What is in the room, in metres.
        frames: Number of depth images.
        size: Width and height of the images in pixels.
        seed: Of where exactly the cameras stand.
    """
    import cv2

    meshes = [trimesh.creation.box(box.size).apply_translation(box.center) for box in boxes]
    room = trimesh.util.concatenate(meshes)
    assert isinstance(room, trimesh.Trimesh)
    label_of_face = np.repeat([box.label for box in boxes], [len(mesh.faces) for mesh in meshes])
    scale = 1 / np.linalg.norm(room.vertices, axis=1).max()
    scene = RayScene(trimesh.Trimesh(room.vertices * scale, room.faces, process=False))
    (width, height), draw = size, np.random.default_rng(seed)
    focal = 0.6 * width
    camera = np.array(((focal, 0, width / 2), (0, focal, height / 2), (0, 0, 1)))
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack((column, row, np.ones_like(row)), axis=-1).reshape(-1, 3) @ np.linalg.inv(camera).T
    for kind in ("depth", "pose", "label", "color", "intrinsic"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "intrinsic/intrinsic_depth.txt", np.pad(camera, (0, 1)) + np.diag((0, 0, 0, 1)))
    for frame in range(frames):
        turn, tilt = 2 * np.pi * frame / frames, 0.45
        pose = np.eye(4)
        pose[:3, :3] = np.array(  # columns: right, down, forward
            (
                (-np.sin(turn), -np.sin(tilt) * np.cos(turn), np.cos(tilt) * np.cos(turn)),
                (np.cos(turn), -np.sin(tilt) * np.sin(turn), np.cos(tilt) * np.sin(turn)),
                (0, -np.cos(tilt), -np.sin(tilt)),
            )
        )
        pose[:3, 3] = (*draw.uniform(-0.4, 0.4, 2), 1.6)
        directions = rays @ pose[:3, :3].T
        origins = np.broadcast_to(pose[:3, 3] * scale, directions.shape)
        hits = scene.first_hit(origins.astype(np.float32), directions.astype(np.float32))
        seen = hits.face >= 0
        metres = np.where(seen, hits.distance / scale, 0)  # rays are of depth 1
        depth = np.round(1000 * metres).astype(np.uint16).reshape(height, width)
        label = np.where(seen, label_of_face[hits.face], 0).astype(np.uint16).reshape(height, width)
        cv2.imwrite(str(folder / f"depth/{frame}.png"), depth)
        cv2.imwrite(str(folder / f"label/{frame}.png"), label)
        shown = np.where(seen[:, None], paint(origins / scale + directions * metres[:, None]), 0)
        color = shown.astype(np.uint8).reshape(height, width, 3)
        cv2.imwrite(str(folder / f"color/{frame}.jpg"), color[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        np.savetxt(folder / f"pose/{frame}.txt", pose)

"""Posed RGB-D frames of a scene, in the layouts of ScanNet, of 7-Scenes and of SUN RGB-D.

ScanNet:

    <scene>/depth/<frame>.png     16 bits, millimetres, 0 where nothing was measured
            pose/<frame>.txt      4 x 4, camera to world, metres, z up; not finite where tracking was lost
            color/<frame>.jpg     where there are colours
            label/<frame>.png     NYU40 ids, drawn on the depth or the colour image; also ``label-filt``
            intrinsic/intrinsic_depth.txt, intrinsic_color.txt   4 x 4 (also ``intrinsics_depth.txt`` ...)
            <scene>.txt               where it has an axisAlignment, points lie along the axes

7-Scenes, and the sets that took its form:

    <scene>/[seq-NN/]frame-NNNNNN.depth.png   16 bits, millimetres, 0 or 65535 where nothing was measured
                     frame-NNNNNN.color.jpg   (or .png)
                     frame-NNNNNN.pose.txt    4 x 4, camera to world, metres, y down
            camera-intrinsics.txt             3 x 3, here or in the folder above

SUN RGB-D, a scene of one frame, the camera in the origin, y forward:

    <frame>/depth/*.png, image/*.jpg, intrinsics.txt, extrinsics/*.txt (the last one's rotation; y down)
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.geometry.correspondence import project, unproject

KINECT = ((585.0, 0.0, 320.0), (0.0, 585.0, 240.0), (0.0, 0.0, 1.0))
"""The depth camera of 7-Scenes, which its folders do not state."""
KINECT_COLOR = ((518.0, 0.0, 320.0), (0.0, 518.0, 237.0), (0.0, 0.0, 1.0))
KINECT_COLOR_SHIFT = (-0.027, 0.0, 0.0)
"""Its colour camera, which nobody published: with these numbers overlapping frames of RedKitchen see the same
colours at the same points best (they differ by a fifth less than with the depth camera's)."""
Y_DOWN = np.array(((1.0, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 0), (0, 0, 0, 1)))
"""From a world with y down to one with z up."""


class Frame(NamedTuple):
    """One frame; colours and ids are those of the depth camera's pixels."""

    name: str
    depth: np.ndarray  # (H, W) float64, metres, NaN where nothing was measured
    camera: np.ndarray  # (3, 3) intrinsics, in pixels
    world_to_camera: np.ndarray  # (3, 4), metres, z up
    color: np.ndarray | None = None  # (H, W, 3) uint8 RGB
    ids: np.ndarray | None = None  # (H, W) NYU40 ids, 0 where nothing is said


def posed_frames(
    folder: Path, every: int = 1, first: int | None = None, last: int | None = None
) -> Iterator[Frame]:
    """Read the frames of a scene that have a pose, in order.

    Args:
        folder: Of the scene.
        every: Take every so many frames.
        first: Least number of a frame, or None for all frames.
        last: Greatest number of a frame.

    Raises:
        SourceError: A file is missing or not laid out as expected.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}, which should be a scene")
    if (folder / "extrinsics").is_dir():
        yield _sunrgbd_frame(folder)
        return
    scannet = (folder / "depth").is_dir()
    found = (folder / "depth").glob("*.png") if scannet else seven_scenes_depths(folder)
    paths = sorted(found, key=lambda path: (path.parent, len(path.name), path.name))
    if first is not None and last is not None:
        paths = [path for path in paths if first <= _number(path) <= last]
    for path in paths[::every]:
        frame = _scannet_frame(folder, path) if scannet else _seven_scenes_frame(path)
        if frame is not None:
            yield frame


def seven_scenes_depths(folder: Path) -> list[Path]:
    """Return the depth images of a scene in 7-Scenes' layout, of all of its sequences."""
    return [*folder.glob("frame-*.depth.png"), *folder.glob("seq-*/frame-*.depth.png")]


def _number(path: Path) -> int:
    digits = path.name.partition(".")[0].removeprefix("frame-")
    if not digits.isdecimal():
        raise SourceError(f"{path} has no frame number, which FIRST and LAST refer to")
    return int(digits)


def _scannet_frame(folder: Path, path: Path) -> Frame | None:
    camera = matrix(folder, "intrinsic/intrinsic_depth.txt", "intrinsics_depth.txt")[:3, :3]
    pose = matrix(folder, f"pose/{path.stem}.txt")
    if not np.isfinite(pose).all():
        return None
    depth = _depth(path)
    color = first_of(folder, [f"color/{path.stem}{suffix}" for suffix in (".jpg", ".png")])
    ids = first_of(folder, [f"{kind}/{path.stem}.png" for kind in ("label-filt", "label")])
    if ids is None and any((folder / kind).is_dir() for kind in ("label-filt", "label")):
        raise SourceError(f"{folder} has no label image of frame {path.stem} (label-filt/ or label/)")
    images = []
    for image in (None if color is None else _picture(color), None if ids is None else _channel(ids)):
        if image is not None and image.shape[:2] != depth.shape:  # drawn on the colour camera's pixels
            other = matrix(folder, "intrinsic/intrinsic_color.txt", "intrinsics_color.txt")[:3, :3]
            image = seen_by_depth(image, depth, camera, other)
        images.append(image)
    return Frame(path.stem, depth, camera, np.linalg.inv(axis_alignment(folder) @ pose)[:3], *images)


def axis_alignment(folder: Path) -> np.ndarray:
    """Return the 4 x 4 matrix that lays a scene of ScanNet along the axes; of others that of no change.

    Raises:
        SourceError: The scene's text file states one that is not 16 numbers.
    """
    path = folder / f"{folder.name}.txt"
    # only one line of it is looked for, and that is ASCII
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []
    for words in (line.partition("=") for line in lines):
        if words[0].strip() == "axisAlignment":
            try:
                return np.array(words[2].split(), np.float64).reshape(4, 4)
            except ValueError:
                raise SourceError(f"{path}: axisAlignment is not 16 numbers") from None
    return np.eye(4)


def _sunrgbd_frame(folder: Path) -> Frame:
    kinds = (("depth", ".png"), ("image", ".jpg"), ("extrinsics", ".txt"))
    found = [sorted((folder / kind).glob(f"*{suffix}")) for kind, suffix in kinds]
    if not all(found):
        raise SourceError(
            f"{folder} is not a frame of SUN RGB-D: depth/, image/ and extrinsics/ need a file each"
        )
    shifted = _channel(found[0][0]).astype(np.uint32)
    depth = ((shifted >> 3) | (shifted << 13) & 0xFFFF) / 1000.0  # stored with its bits turned round by three
    depth[depth == 0] = np.nan
    try:
        camera = np.loadtxt(folder / "intrinsics.txt").reshape(3, 3)
        tilt = np.loadtxt(found[2][-1])[:3, :3]
    except (OSError, ValueError, IndexError) as error:
        raise SourceError(f"{folder} is not a frame of SUN RGB-D: {error}") from error
    world_to_camera = np.hstack([np.linalg.inv(Y_DOWN[:3, :3] @ tilt), np.zeros((3, 1))])
    return Frame(found[0][0].stem, depth, camera, world_to_camera, _picture(found[1][0]))


def _seven_scenes_frame(path: Path) -> Frame | None:
    folder, name = path.parent, path.name.partition(".")[0]
    places = [folder / "camera-intrinsics.txt", folder.parent / "camera-intrinsics.txt"]
    given = next((place for place in places if place.is_file()), None)
    camera = np.array(KINECT) if given is None else matrix(given.parent, given.name)[:3, :3]
    pose = matrix(folder, f"{name}.pose.txt")
    if not np.isfinite(pose).all():
        return None
    depth, color = _depth(path), first_of(folder, [f"{name}.color{suffix}" for suffix in (".jpg", ".png")])
    image = None if color is None else _picture(color)
    if image is not None and np.allclose(camera, KINECT):
        image = seen_by_depth(image, depth, camera, np.array(KINECT_COLOR), KINECT_COLOR_SHIFT)
    elif image is not None and image.shape[:2] != depth.shape:
        raise SourceError(f"{color} and {path} have different sizes: which of them does {given} describe?")
    return Frame(name, depth, camera, np.linalg.inv(Y_DOWN @ pose)[:3], image)


def seen_by_depth(
    image: np.ndarray,
    depth: np.ndarray,
    camera: np.ndarray,
    other: np.ndarray,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """Return what another camera's image shows at each pixel of the depth camera.

    Args:
        image: (h, w) or (h, w, 3) of the other camera.
        depth: (H, W) in metres; where nothing was measured the median is taken for it.
        camera: (3, 3) of the depth camera.
        other: (3, 3) of the other camera, whose axes are parallel.
        shift: What is added to a point's coordinates to have them in the other camera, in metres.

    Returns:
        (H, W) or (H, W, 3). Of what lies outside, an image of one channel (ids) says 0, a picture the
        nearest.
    """
    known = np.isfinite(depth)
    filled = np.where(known, depth, np.median(depth[known]) if known.any() else 1.0)
    there = np.hstack([np.eye(3), np.zeros((3, 1))])[None]
    points, _ = unproject(filled[None], camera, there)
    pixel, _ = project(points[0] + shift, other, there)
    column, row = np.floor(pixel[0]).astype(np.int64).transpose(2, 0, 1)
    height, width = image.shape[:2]
    found = image[row.clip(0, height - 1), column.clip(0, width - 1)]
    if image.ndim == 2:
        found[(row < 0) | (row >= height) | (column < 0) | (column >= width)] = 0
    return found


def matrix(folder: Path, *names: str) -> np.ndarray:
    """Return the 4 x 4 or 3 x 3 matrix of the first of these files that is there.

    Raises:
        SourceError: None of them is, or it holds no such matrix.
    """
    path = first_of(folder, names)
    if path is None:
        raise SourceError(
            f"{folder} has no {' or '.join(names)}; is it a scene in ScanNet's or in 7-Scenes' layout?"
        )
    try:
        found = np.loadtxt(path)
    except ValueError as error:
        raise SourceError(f"{path} is not readable: {error}") from error
    if found.shape not in ((4, 4), (3, 3)):
        raise SourceError(f"{path} holds {found.shape} numbers, needs a 4 x 4 matrix")
    return found


def first_of(folder: Path, names: "list[str] | tuple[str, ...]") -> Path | None:
    """Return the first of these files that is there."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _depth(path: Path) -> np.ndarray:
    """Read depth (H, W) in metres, NaN where nothing was measured."""
    depth = _channel(path).astype(np.float64)
    depth[(depth == 0) | (depth == 65535)] = np.nan
    return depth / 1000


def _channel(path: Path) -> np.ndarray:
    """Read one channel (H, W) of 8 or 16 bits."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise SourceError(f"{path} is not an image of one channel")
    return image


def _picture(path: Path) -> np.ndarray:
    """Read a picture, (H, W, 3) uint8 RGB."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{path} is not an image")
    return np.ascontiguousarray(image[..., ::-1])

"""The images of a prepared set: views, label images and depth images, encoded as PNG one after the other."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from pointmcd.folders import DamagedError, open_array

KINDS = ("views", "part_views", "depths")
"""Of every kind there are V images a shape, or none."""
DEPTH_STEPS = 65534  # a depth image has 16 bits, and 0 stands for nothing


def bin_path(folder: Path, kind: str) -> Path:
    """Return the file that holds the images of one kind, end to end."""
    return folder / f"{kind}.bin"


def offsets_path(folder: Path, kind: str) -> Path:
    """Return (S * V + 1,) int64: where each of them begins in that file, and where the last one ends."""
    return folder / f"{kind.removesuffix('s')}_offsets.npy"


class ImagesWriter:
    """Writes the images of one kind, in a bounded amount of memory."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._offsets_path = offsets_path(folder, kind)
        self._file = open(bin_path(folder, kind), "wb")  # noqa: SIM115 - closed in close()
        self._offsets = [0]

    def add(self, encoded: list[bytes]) -> None:
        for image in encoded:
            self._file.write(image)
            self._offsets.append(self._offsets[-1] + len(image))

    def close(self) -> None:
        self._file.close()
        np.save(self._offsets_path, np.asarray(self._offsets, np.int64))


class Images:
    """The encoded images of one kind in one split, memory-mapped.

    Args:
        folder: Of the split.
        kind: One of ``KINDS``.
        size: (S, V), how many shapes there are and views of each.
        decode: Turns the bytes of one image into what ``read`` returns.

    Raises:
        DamagedError: A file is missing, or the two do not fit each other.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        size: tuple[int, int],
        decode: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self._shapes, self.num_views = size
        self._decode, self._path = decode, bin_path(folder, kind)
        count = self._shapes * self.num_views
        self._offsets = open_array(offsets_path(folder, kind), "int64", (count + 1,))
        if not self._path.is_file():
            raise DamagedError(f"{self._path} is missing")
        bytes_there = self._path.stat().st_size
        if self._offsets[0] != 0 or self._offsets[-1] != bytes_there:
            raise DamagedError(f"{offsets_path(folder, kind)} is damaged: it does not fit {self._path.name}")
        self._data = np.memmap(self._path, np.uint8, "r") if bytes_there else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return self._shapes

    @staticmethod
    @cache  # opening a set of a hundred shards asks for them 600 times
    def file_names(kind: str) -> list[str]:
        """Return the files of one kind."""
        return [path(Path(), kind).name for path in (bin_path, offsets_path)]

    def encoded(self, shape: int, view: int) -> np.ndarray:
        """Return the bytes of one image file, (n,) uint8, as a view into the memory map."""
        if not 0 <= view < self.num_views:
            raise IndexError(f"view {view} of {self.num_views}")
        row = shape * self.num_views + view
        return self._data[self._offsets[row] : self._offsets[row + 1]]

    def read(self, shape: int, view: int) -> np.ndarray:
        """Decode one view (H, W, 3) uint8 RGB, label image (H, W) uint8 or uint16, or depth image float32.

        Raises:
            DamagedError: It is not an image.
        """
        encoded = self.encoded(shape, view)
        try:
            image = self._decode(encoded)
        except Exception:  # OpenCV's own, or numpy's of no image
            image = None
        if image is None:
            raise DamagedError(f"{self._path} is damaged: view {view} of shape {shape} cannot be decoded")
        return image


def encode_view(image: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG: lossless, and a grey image costs one channel."""
    import mmcv

    grey = (image[..., :1] == image).all()
    return _to_png(image[..., 0] if grey else mmcv.rgb2bgr(image))


def decode_view(data: np.ndarray) -> np.ndarray:
    """Return the inverse of `encode_view`."""
    import mmcv

    return mmcv.imfrombytes(data, channel_order="rgb", backend="cv2")


def encode_labels(labels: np.ndarray, num_parts: int) -> bytes:
    """Encode (H, W) integers, the part of each pixel or ``num_parts`` for none, as PNG of 8 or 16 bits."""
    return _to_png(labels.astype(np.uint8 if num_parts <= 255 else np.uint16))


def decode_labels(data: np.ndarray) -> np.ndarray:
    """Return the inverse of `encode_labels`: (H, W) uint8 or uint16."""
    import mmcv

    return mmcv.imfrombytes(data, flag="unchanged", backend="cv2")


def encode_depth(depth: np.ndarray, near: float, far: float) -> bytes:
    """Encode (H, W) depths as PNG of 16 bits: inf as 0, else linear from ``near`` to ``far``.

    From camera to camera of the unit ball that is a step of 3e-5 bounding radii.
    """
    seen = np.isfinite(depth)
    steps = np.rint((np.where(seen, depth, near) - near) * (DEPTH_STEPS / (far - near)))
    return _to_png(np.where(seen, 1 + np.clip(steps, 0, DEPTH_STEPS), 0).astype(np.uint16))


def decode_depth(data: np.ndarray, near: float, far: float) -> np.ndarray:
    """Return the inverse of `encode_depth`: (H, W) float32."""
    steps = decode_labels(data)
    depth = near + (steps.astype(np.float32) - 1) * np.float32((far - near) / DEPTH_STEPS)
    return np.where(steps == 0, np.float32(np.inf), depth)


def _to_png(image: np.ndarray) -> bytes:
    import cv2

    done, data = cv2.imencode(".png", image)
    if not done:
        raise RuntimeError(f"OpenCV cannot encode an image of shape {image.shape}")
    return data.tobytes()

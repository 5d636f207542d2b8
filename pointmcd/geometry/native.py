"""The C++ kernels of the geometry, bound by ctypes; ``ImportError`` where they were not built.

Numpy arrays in, numpy arrays out. The plain forms are in `raster`, `render` and `corner_normals`.
"""

import ctypes
import importlib.machinery
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FOLDER = Path(__file__).with_name("cpp")


def _load(instruction_set: str) -> ctypes.CDLL | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = _FOLDER / f"kernels_{instruction_set}{suffix}"
        if path.exists():
            return ctypes.CDLL(str(path))
    return None


def _best() -> ctypes.CDLL:
    library = _load("default")
    if library is None:
        raise ImportError("the C++ kernels of the geometry were not built")
    return (library.pointmcd_has_avx2() and _load("avx2")) or library


_LIBRARY = _best()


def _call(name: str, *args: NDArray[Any] | int | float) -> None:
    """Call a kernel: arrays as pointers, whole numbers of 64 bits, double precision."""
    getattr(_LIBRARY, f"pointmcd_{name}")(*map(_argument, args))


def _argument(value: NDArray[Any] | int | float) -> Any:
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise RuntimeError(f"a C++ kernel got an array of strides {value.strides}")
        return ctypes.c_void_p(value.ctypes.data)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)


def _numbers(values: NDArray[Any], dtype: type) -> NDArray[Any]:
    return np.ascontiguousarray(np.asarray(values), dtype)


def rasterize(
    vertices: NDArray[Any],
    faces: NDArray[Any],
    cameras: NDArray[Any],
    lens: NDArray[Any],
    size: tuple[int, int],
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return face (V, H, W), depth (V, H, W) and barycentric weights (V, H, W, 2); lens (V, 4)."""
    vertices, faces = _numbers(vertices, np.float64), _numbers(faces, np.int32)
    cameras, lens = _numbers(cameras, np.float64), _numbers(lens, np.float64)
    shape = (len(cameras), *size)
    face, depth = np.empty(shape, np.int32), np.empty(shape, np.float32)
    weights = np.empty((*shape, 2), np.float32)
    _call(
        "rasterize", vertices, len(vertices), faces, len(faces), cameras, lens, *shape, face, depth, weights
    )
    return face, depth, weights


def shade(
    normals: NDArray[np.float32],
    face: NDArray[np.int32],
    weights: NDArray[np.float32],
    rotations: NDArray[np.float64],
    lens: NDArray[np.float64],
    light: NDArray[np.float32],
    to_key: NDArray[np.float64],
    background: int,
) -> NDArray[np.uint8]:
    """Return grey values (V, H, W); normals (F, C, 3), lens (4), light (4), to_key (3)."""
    grey = np.empty(face.shape, np.uint8)
    inputs = (_numbers(normals, np.float32), normals.shape[1], face, weights, _numbers(rotations, np.float64))
    lights = (_numbers(light, np.float32), _numbers(to_key, np.float64))
    _call("shade", *inputs, _numbers(lens, np.float64), *face.shape, *lights, background, grey)
    return grey


def corner_normals(
    vertices: NDArray[Any], faces: NDArray[Any], least_cosine: float, most_faces_at_edge: int
) -> NDArray[np.float64]:
    """Return normals (F, 3, 3)."""
    vertices, faces = _numbers(vertices, np.float64), _numbers(faces, np.int32)
    normals = np.empty((len(faces), 3, 3))
    inputs = (vertices, len(vertices), faces, len(faces), float(least_cosine), most_faces_at_edge)
    _call("corner_normals", *inputs, normals)
    return normals

"""Files of scanners, read by packages of the extra ``clouds``."""

import io

import numpy as np

from pointmcd.geometry.formats.columns import COLOR, Columns, usual_name
from pointmcd.geometry.formats.content import MeshError

INSTALL = 'pip install "pointmcd[clouds]"'


def read_pcd(data: bytes) -> Columns:
    """Read PCD, the format of the Point Cloud Library, with its fields; ``rgb`` becomes three columns."""
    try:
        from pypcd4 import PointCloud
    except ImportError:
        raise MeshError(f"PCD is read by pypcd4: {INSTALL}") from None
    cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(data)))
    rows = cloud.pc_data
    _check_count(len(rows), cloud.metadata.points)
    names: list[str] = []
    values: list[np.ndarray] = []
    for field in cloud.fields:
        column = rows[field].reshape(len(rows), -1)
        if field.lower() in ("rgb", "rgba"):
            packed = np.ascontiguousarray(column[:, 0])
            packed = packed.view(np.uint32) if packed.dtype.kind == "f" else packed.astype(np.uint32)
            names += COLOR
            values += [(packed >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
        elif column.shape[1] == 1:
            names.append(usual_name(field))
            values.append(column[:, 0])
    return Columns(names, values)


def read_las(data: bytes) -> Columns:
    """Read LAS or LAZ: scaled coordinates, and the dimensions of each point."""
    try:
        import laspy
    except ImportError:
        raise MeshError(f"LAS is read by laspy: {INSTALL}") from None
    cloud = laspy.read(io.BytesIO(data))
    _check_count(len(cloud.points), cloud.header.point_count)
    names = [name for name in cloud.point_format.dimension_names if name.lower() not in ("x", "y", "z")]
    columns = [np.asarray(cloud[name]) for name in names]
    axes = [np.asarray(axis, dtype=np.float64) for axis in (cloud.x, cloud.y, cloud.z)]
    return Columns(["x", "y", "z", *map(usual_name, names)], [*axes, *columns])


def _check_count(found: int, promised: int) -> None:
    """Refuse a file that was cut off between two points, which its reader takes as it is."""
    if found != promised:
        raise MeshError(f"cut off: {promised} points promised, {found} found")

"""A camera rig: ``pointmcd prepare --imports my_rig ... --rig cube6``."""

from pointmcd.geometry.cameras import RIGS, CameraRig


def cube6() -> CameraRig:
    """Return cameras at the faces of a cube: four around the shape, one above and one below."""
    return CameraRig((0, 90, 180, 270, 0, 0), (0, 0, 0, 0, 90, -90))


RIGS["cube6"] = cube6

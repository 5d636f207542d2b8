"""What the preparation does to one shape; a file that is classified later goes through the same."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pointmcd.datasets.images import encode_depth, encode_labels, encode_view
from pointmcd.datasets.manifest import NORMALIZATIONS, UPS, VISIBILITIES
from pointmcd.datasets.preparation.sources.base import Shape
from pointmcd.datasets.preparation.writer import EncodedShape
from pointmcd.geometry import (
    CameraRig,
    MeshError,
    RayScene,
    Splats,
    Views,
    check_cloud,
    normalize,
    render_views,
    rig,
    sample_surface,
    splat_views,
    to_z_up,
    unit_colors,
    unit_normals,
    visible_by_depth,
    visible_by_hpr,
    visible_by_ray,
    visible_by_splats,
)
from pointmcd.ops import farthest_point_sample

if TYPE_CHECKING:
    import trimesh

CANDIDATES = 2
"""Points drawn for each point kept: farthest point sampling keeps 2048 out of 4096."""
HPR_POINTS = 10_000
"""Drawn from a mesh for hidden-point removal. A cloud has the points that it has, and a radius to match."""
MOST_SPLATS = 30_000
"""Points of a cloud that are rendered and hide one another; of more, so many are drawn."""
SPLAT_EPS = 0.3
"""How far a point may lie behind what its pixel shows where that is a splat, in spacings of the cloud."""
MOST_MASKED_VIEWS = 31
"""A mask has 32 bits, one of which stays free for the maximum over all points."""


@dataclass(frozen=True)
class PointSettings:
    """How points are taken from a shape.

    Attributes:
        num_points: P, points kept of each shape.
        up: The axis of the raw data that points up, unless its format lays it down (GLB: y); prepared shapes
            have z up.
        seed: Together with a shape's name it seeds that shape's sampling.
        normalization: ``bounding_box`` moves the centre of the bounding box to the origin and scales the
            farthest vertex (of a cloud: point) to radius 1.
    """

    num_points: int = 2048
    up: str = "z"
    seed: int = 0
    normalization: str = "bounding_box"

    def __post_init__(self) -> None:
        if self.num_points < 1:
            raise ValueError(f"num_points is {self.num_points}, must be at least 1")
        if self.up not in UPS:
            raise ValueError(f"up is '{self.up}', must be x, y or z")
        if self.normalization not in NORMALIZATIONS:
            known = ", ".join(NORMALIZATIONS)
            raise ValueError(f"unknown normalization '{self.normalization}', known: {known}")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a source becomes; kept in the manifest.

    Attributes:
        rig: The cameras, or None where there are neither views nor masks.
        image_size: Side of the square views in pixels, or None for no views.
        shading: ``smooth`` or ``flat``; clouds have the first alone.
        background: Grey level 0 to 255 behind the shape.
        visibility: The test that makes the masks: ``ray`` (of a cloud: against its splats), ``depth``,
            ``hpr`` or ``none``.
        hpr_radius: Of hidden-point removal among 10000 points, in units of the largest distance to the
            camera, or ``pointvst``; of a cloud of N points it is taken times sqrt(N / 10000).
        depths: Keep the depth of each pixel beside the views.
        num_parts: P, the parts that the source knows, or None; with views they make label images.
    """

    points: PointSettings = field(default_factory=PointSettings)
    rig: CameraRig | None = field(default_factory=lambda: rig("circle12"))
    image_size: int | None = 224
    shading: str = "smooth"
    background: int = 255
    visibility: str = "ray"
    hpr_radius: float | str = 100.0
    depths: bool = False
    num_parts: int | None = None

    def __post_init__(self) -> None:
        if self.depths and self.image_size is None:
            raise ValueError("depths need rendered views")
        if self.rig is None:
            if self.image_size is not None or self.visibility != "none":
                raise ValueError("views and masks need a camera rig")
        elif self.visibility != "none" and self.rig.num_views > MOST_MASKED_VIEWS:
            raise ValueError(
                f"the rig has {self.rig.num_views} views, masks hold {MOST_MASKED_VIEWS}; "
                "take fewer, or --visibility none"
            )
        if self.visibility not in VISIBILITIES:
            raise ValueError(f"unknown visibility '{self.visibility}', known: {', '.join(VISIBILITIES)}")
        if self.visibility == "depth" and self.image_size is None:
            raise ValueError("visibility by depth needs rendered views")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for the manifest."""
        rig = None if self.rig is None else self.rig.to_dict()
        views = {"size": self.image_size, "shading": self.shading, "background": self.background}
        kept = {
            "points": asdict(self.points),
            "num_views": 0 if self.rig is None else self.rig.num_views,
            "rig": rig,
            "views": None if self.image_size is None else views,
            "visibility": self.visibility,
        }
        if self.visibility == "hpr":
            kept["hpr_radius"] = self.hpr_radius
        if self.num_parts is not None and self.image_size is not None:
            kept["part_views"] = True
        if self.depths:
            kept["depths"] = dict(zip(("near", "far"), self.depth_range, strict=True))
        return kept

    @property
    def depth_range(self) -> tuple[float, float]:
        """Depths of the unit ball's nearest and farthest points."""
        return self.cameras.distance - 1, self.cameras.distance + 1

    @property
    def cameras(self) -> CameraRig:
        """``rig``, of settings that have views or masks.

        Raises:
            ValueError: They have neither.
        """
        if self.rig is None:
            raise ValueError("views and masks need a camera rig")
        return self.rig


@dataclass(frozen=True)
class Sample:
    """What was drawn from one shape.

    Attributes:
        points: (P, 3) float32.
        normals: (P, 3) float32, where the shape has them.
        colors: (P, 3) float32 in [0, 1], where the shape has them.
        parts: (P,) integers, where the shape has them.
        mesh: The normalised mesh, where the shape is one.
        cloud: Otherwise the normalised cloud (N, 3) float32, all of it or ``MOST_SPLATS`` points,
        cloud_normals: (N, 3), where the shape has them,
        rows: (P,) the rows of ``cloud`` that were drawn,
        cloud_rows: And (N,) the rows of the shape that ``cloud`` is made of.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    parts: np.ndarray | None = None
    mesh: "trimesh.Trimesh | None" = None
    cloud: np.ndarray | None = None
    cloud_normals: np.ndarray | None = None
    rows: np.ndarray | None = None
    cloud_rows: np.ndarray | None = None

    @cached_property
    def surface(self) -> RayScene | Splats:
        """What is rendered and hides points."""
        if self.mesh is not None:
            return RayScene(self.mesh)
        assert self.cloud is not None
        return Splats(self.cloud, self.cloud_normals)


def prepare_points(
    shape: "Shape | trimesh.Trimesh | np.ndarray",
    settings: PointSettings,
    name: str = "",
    inputs: Sequence[str] = (),
) -> np.ndarray:
    """Return the points of one shape as a training sees them.

    Args:
        shape: A mesh or a cloud in its own units and axes; of an array (N, 3+) the first three columns are x,
            y, z, and each of ``inputs`` is three more.
        settings: Those of the training set, from its manifest (key ``points``) or from an exported student.
        name: With the settings' seed it seeds the sampling. A file's stem gives the very points that the
            training set has of that file.
        inputs: What follows x, y, z: ``normals``, ``colors``.

    Returns:
        (P, 3 + 3 len(inputs)) float32, points in the unit ball, z up, in farthest-point order.

    Raises:
        MeshError: The shape is empty, not finite or of no extent, or lacks one of ``inputs``.
    """
    if isinstance(shape, np.ndarray):
        shape = shape_of_array(shape, inputs)
    elif not isinstance(shape, Shape):
        shape = Shape(mesh=shape)
    sample = sample_shape(shape, settings, name)
    found = {"normals": sample.normals, "colors": sample.colors}
    if lacking := [kind for kind in inputs if found[kind] is None]:
        what = "cloud" if shape.mesh is None else "mesh"
        raise MeshError(f"the {what} has no {lacking[0]}, which the network sees beside x, y, z")
    return np.concatenate([sample.points, *(found[kind] for kind in inputs)], axis=1)


def shape_of_array(array: np.ndarray, inputs: Sequence[str] = ()) -> Shape:
    """Return a cloud of an array (N, 3 + 3 len(inputs) or more): x, y, z, then the inputs asked for.

    Raises:
        MeshError: It is none.
    """
    check_cloud(array)
    needed = 3 + 3 * len(inputs)
    if array.shape[1] < needed:
        wanted = ", ".join(("x, y, z", *inputs))
        raise MeshError(f"the network sees {wanted}: it needs {needed} columns, not {array.shape[1]}")
    found = {kind: array[:, 3 * place : 3 * place + 3] for place, kind in enumerate(inputs, 1)}
    return Shape(
        points=array[:, :3],
        normals=unit_normals(found["normals"]) if "normals" in found else None,
        colors=unit_colors(found["colors"]) if "colors" in found else None,
    )


def prepare_shape(shape: Shape, settings: Settings, name: str) -> EncodedShape:
    """Return points, masks and encoded views of one shape."""
    sample = sample_shape(shape, settings.points, name)
    arrays = {"points": sample.points}
    if sample.normals is not None:
        arrays["normals"] = sample.normals
    if sample.colors is not None:
        arrays["colors"] = np.rint(255 * sample.colors).astype(np.uint8)
    if sample.parts is not None:
        arrays["parts"] = sample.parts.astype(np.uint16)
    views = None if settings.image_size is None else _render(sample.surface, settings, settings.image_size)
    if settings.visibility != "none":
        arrays["visibility"] = _visible(sample, views, settings, name)
    parts = shape.face_parts
    if sample.cloud_rows is not None and shape.point_parts is not None:
        parts = shape.point_parts[sample.cloud_rows]
    return EncodedShape(arrays, {} if views is None else _encode(views, parts, settings))


def sample_shape(shape: Shape, settings: PointSettings, name: str) -> Sample:
    """Normalise a shape and draw its points (see ``prepare_points``)."""
    seed = shape_seed(name, settings.seed)
    draw = CANDIDATES * settings.num_points
    if shape.mesh is not None:
        mesh = shape.mesh.copy()
        # What a format lays down counts more than what is said of the source: GLB is +Y up.
        up = mesh.metadata.get("up") or settings.up
        mesh.vertices = normalize(to_z_up(mesh.vertices, up))[0]
        points, normals, face = sample_surface(mesh, draw, seed)
        order = _farthest_first(points, settings.num_points)
        parts = None if shape.face_parts is None else shape.face_parts[face[order]]
        return Sample(points[order], normals[order], parts=parts, mesh=mesh)
    assert shape.points is not None
    cloud = normalize(to_z_up(shape.points, settings.up))[0].astype(np.float32)
    drawn = np.arange(len(cloud))
    if len(cloud) > draw:
        drawn = np.random.default_rng(seed).choice(len(cloud), draw, replace=False)
    rows = drawn[_farthest_first(cloud[drawn], settings.num_points)]
    kept = np.arange(len(cloud))
    if len(cloud) > max(MOST_SPLATS, draw):
        more = np.random.default_rng((seed, 1)).choice(len(cloud), MOST_SPLATS, replace=False)
        kept = np.union1d(rows, more)
    turned = None if shape.normals is None else to_z_up(shape.normals, settings.up).astype(np.float32)
    return Sample(
        cloud[rows],
        None if turned is None else turned[rows],
        None if shape.colors is None else shape.colors[rows],
        None if shape.point_parts is None else shape.point_parts[rows],
        cloud=cloud[kept],
        cloud_normals=None if turned is None else turned[kept],
        rows=np.searchsorted(kept, rows),
        cloud_rows=kept,
    )


def _farthest_first(points: np.ndarray, count: int) -> np.ndarray:
    """Return (count,) rows of ``points``, farthest first; fewer points are repeated in the same order."""
    order = farthest_point_sample(torch.from_numpy(points)[None], min(count, len(points)))[0].numpy()
    return np.resize(order, count)


def shape_seed(name: str, seed: int) -> int:
    """Seed of one shape's sampling, whatever shapes are beside it: from the last part of its name."""
    stem = name.rsplit("/", 1)[-1]
    return int.from_bytes(hashlib.sha256(f"{seed}/{stem}".encode()).digest()[:4])


def _encode(views: Views, parts: np.ndarray | None, settings: Settings) -> dict[str, list[bytes]]:
    """Return the images of one shape by kind; ``parts`` are of what ``views.face`` indexes."""
    images = {"views": [encode_view(image) for image in views.images]}
    if parts is not None and settings.num_parts is not None:
        labels = np.where(views.face < 0, settings.num_parts, parts[views.face])
        images["part_views"] = [encode_labels(image, settings.num_parts) for image in labels]
    if settings.depths:
        images["depths"] = [encode_depth(image, *settings.depth_range) for image in views.depth]
    return images


def _render(surface: RayScene | Splats, settings: Settings, image_size: int) -> Views:
    if isinstance(surface, Splats):
        return splat_views(surface, None, settings.cameras, image_size, settings.background)
    return render_views(surface, settings.cameras, image_size, settings.shading, settings.background)


def _visible(sample: Sample, views: Views | None, settings: Settings, name: str) -> np.ndarray:
    """Return (P,) masks."""
    if settings.visibility == "hpr":
        return _visible_by_hpr(sample, settings, shape_seed(name, settings.points.seed))
    points, cameras, surface = sample.points, settings.cameras, sample.surface
    if settings.visibility == "ray":
        if isinstance(surface, Splats):
            return visible_by_splats(surface, cameras, sample.rows)
        return visible_by_ray(surface, points, cameras, sample.normals)
    assert views is not None  # or the settings were refused
    if isinstance(surface, Splats):
        return visible_by_depth(points, cameras, views.depth, eps=SPLAT_EPS * surface.spacing)
    return visible_by_depth(points, cameras, views.depth, views.face, surface)


def _visible_by_hpr(sample: Sample, settings: Settings, seed: int) -> np.ndarray:
    """Return (P,) masks by hidden-point removal in a dense cloud that holds the sample."""
    radius = settings.hpr_radius
    if sample.mesh is not None:
        extra = sample_surface(sample.mesh, HPR_POINTS, (seed, 1))[0]
        cloud, rows = np.concatenate([sample.points, extra]), np.arange(len(sample.points))
    else:
        assert sample.cloud is not None
        assert sample.rows is not None
        cloud, rows = sample.cloud, sample.rows
        if len(cloud) < 4:
            raise MeshError(f"{len(cloud)} points; hidden-point removal needs 4")
        if radius != "pointvst":
            radius = max(1.0, radius * (len(cloud) / HPR_POINTS) ** 0.5)
    return visible_by_hpr(cloud, settings.cameras, radius)[rows]

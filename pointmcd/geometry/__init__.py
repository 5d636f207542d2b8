"""Meshes, sampling, cameras, rendering and visibility: numpy in, numpy out, nothing else of pointmcd.

The world is z up and shapes lie in the unit ball (`normalize`).
"""

from pointmcd.geometry.cameras import CameraRig, rig
from pointmcd.geometry.cloud import (
    CLOUD_SUFFIXES,
    Cloud,
    CloudColumns,
    check_cloud,
    is_cloud,
    load_cloud,
    unit_colors,
    unit_normals,
    whole_parts,
)
from pointmcd.geometry.mesh import MESH_SUFFIXES, MeshError, load_mesh, normalize, to_z_up
from pointmcd.geometry.raycast import RayScene
from pointmcd.geometry.render import Views, render_views
from pointmcd.geometry.sampling import sample_surface
from pointmcd.geometry.splat import Splats, splat_views, visible_by_splats
from pointmcd.geometry.visibility import (
    pack_masks,
    unpack_masks,
    visible_by_depth,
    visible_by_hpr,
    visible_by_ray,
)

__all__ = [
    "CLOUD_SUFFIXES",
    "MESH_SUFFIXES",
    "CameraRig",
    "Cloud",
    "CloudColumns",
    "MeshError",
    "RayScene",
    "Splats",
    "Views",
    "check_cloud",
    "is_cloud",
    "load_cloud",
    "load_mesh",
    "normalize",
    "pack_masks",
    "render_views",
    "rig",
    "sample_surface",
    "splat_views",
    "to_z_up",
    "unit_colors",
    "unit_normals",
    "unpack_masks",
    "visible_by_depth",
    "visible_by_hpr",
    "visible_by_ray",
    "visible_by_splats",
    "whole_parts",
]

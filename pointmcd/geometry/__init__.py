"""Meshes, sampling, cameras, rendering and visibility: numpy in, numpy out, nothing of the rest of the
package.

The world is z up and shapes lie in the unit ball (`normalize`).
"""

from .cameras import CameraRig, rig
from .cloud import (
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
from .mesh import MESH_SUFFIXES, MeshError, load_mesh, normalize, to_z_up
from .raycast import RayScene
from .render import Views, render_views
from .sampling import sample_surface
from .splat import Splats, splat_views, visible_by_splats
from .visibility import pack_masks, unpack_masks, visible_by_depth, visible_by_hpr, visible_by_ray

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

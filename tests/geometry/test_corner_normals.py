"""Normals at the corners of faces: of known surfaces, and of the kernel against the plain form."""

import numpy as np
import pytest
import trimesh

from geometry.shapes import bumpy_sphere, chair, rewound
from pointmcd.geometry.corner_normals import corner_normals, plain_corner_normals
from pointmcd.geometry.mesh import face_geometry


def tangle():
    """Random faces over few vertices: edges with many faces, folds, and faces without area."""
    rng = np.random.default_rng(0)
    return trimesh.Trimesh(rng.normal(size=(30, 3)), rng.integers(0, 30, (400, 3)), process=False)


@pytest.mark.parametrize("make", [chair, lambda: rewound(bumpy_sphere()), tangle])
def test_the_kernel_does_as_the_plain_form(make):
    mesh = make()
    np.testing.assert_allclose(corner_normals(mesh, 40), plain_corner_normals(mesh, 40), atol=1e-12)


def test_corner_normals_of_a_sphere_are_radial():
    mesh = rewound(trimesh.creation.icosphere(3))
    normals = corner_normals(mesh, 40)
    radial = mesh.vertices[mesh.faces]
    assert np.abs(np.einsum("fcd,fcd->fc", normals, radial)).min() > 0.999


def test_corner_normals_keep_creases_and_smooth_a_cylinder():
    box = rewound(trimesh.creation.box())
    np.testing.assert_allclose(corner_normals(box, 40), np.repeat(face_geometry(box)[0][:, None], 3, axis=1))
    cylinder = rewound(trimesh.creation.cylinder(1, 2, sections=16))
    normals, own = corner_normals(cylinder, 40), face_geometry(cylinder)[0]
    cap = np.abs(own[:, 2]) > 0.5
    np.testing.assert_allclose(np.abs(normals[cap, :, 2]), 1, atol=1e-12)
    radial = (cylinder.vertices * (1, 1, 0))[cylinder.faces[~cap]]
    along = np.abs(np.einsum("fcd,fcd->fc", normals[~cap], radial))
    # A side of a 16-gon turns by 22.5 degrees; area weights are not symmetric about a corner (one or two
    # triangles).
    assert along.min() > np.cos(np.radians(22.5 / 4))
    assert np.abs(np.einsum("fd,fd->f", own[~cap], radial[:, 0])).max() < np.cos(np.radians(11.2))


def test_corner_normals_have_the_sign_of_their_face():
    mesh = rewound(bumpy_sphere())
    assert (np.einsum("fcd,fd->fc", corner_normals(mesh, 40), face_geometry(mesh)[0]) > 0).all()


def test_corner_normals_of_doubled_sheets_are_those_of_the_single_sheet():
    single = trimesh.creation.icosphere(2)
    faces = np.stack((single.faces, single.faces[:, ::-1]), axis=1).reshape(-1, 3)
    doubled = trimesh.Trimesh(single.vertices, faces, process=False)
    normals = corner_normals(doubled, 40)
    np.testing.assert_allclose(normals[::2], corner_normals(single, 40), atol=1e-12)
    np.testing.assert_allclose(normals[1::2, ::-1], -normals[::2], atol=1e-12)


def test_corner_normals_of_a_blade_stay_sharp():
    """A wedge of 20 degrees: its faces are nearly parallel, and yet their edge is a crease."""
    rise = np.tan(np.radians(10))
    vertices = [[0, 0, 0], [0, 1, 0], [1, 0, rise], [1, 1, rise], [1, 0, -rise], [1, 1, -rise]]
    faces = [[0, 2, 3], [0, 3, 1], [0, 5, 4], [0, 1, 5]]
    blade = rewound(trimesh.Trimesh(vertices, faces, process=False))
    np.testing.assert_allclose(
        corner_normals(blade, 40), np.repeat(face_geometry(blade)[0][:, None], 3, axis=1)
    )


def test_corner_normals_of_a_moebius_strip_are_finite():
    """It has one side only; every vertex still has normals of length 1."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    across = np.array([-0.2, 0.2])[:, None]
    radius = 1 + across * np.cos(turn / 2)
    vertices = np.stack(
        (radius * np.cos(turn), radius * np.sin(turn), across * np.sin(turn / 2)), -1
    ).reshape(-1, 3)
    low, high = np.arange(40), np.arange(40) + 40
    next_low, next_high = np.append(low[1:], high[0]), np.append(high[1:], low[0])
    faces = np.concatenate(
        (np.column_stack((low, next_low, high)), np.column_stack((high, next_low, next_high)))
    )
    normals = corner_normals(trimesh.Trimesh(vertices, faces, process=False), 40)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1)

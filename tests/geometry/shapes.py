"""Meshes with known geometry for the tests of rendering and visibility."""

import numpy as np
import trimesh

from pointmcd.geometry import normalize


def unit(mesh):
    mesh.vertices = normalize(mesh.vertices)[0]
    return mesh


def bumpy_sphere():
    """20480 faces."""
    mesh = trimesh.creation.icosphere(subdivisions=5)
    x, y, _ = mesh.vertices.T
    mesh.vertices *= (1 + 0.1 * np.sin(7 * x) * np.sin(9 * y))[:, None]
    return unit(mesh)


def chair():
    """A seat, a back and four thin legs, 38k small faces."""
    parts = [trimesh.creation.box((0.9, 0.9, 0.08)), trimesh.creation.box((0.9, 0.08, 0.9))]
    parts[1].apply_translation((0, 0.41, 0.45))
    for x in (-0.4, 0.4):
        for y in (-0.4, 0.4):
            parts.append(trimesh.creation.box((0.08, 0.08, 0.8)).apply_translation((x, y, -0.44)))
    return unit(trimesh.util.concatenate([part.subdivide_to_size(0.03) for part in parts]))


def plates(heights, half=0.5):
    """Parallel horizontal squares, two faces each."""
    square = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    vertices = np.concatenate([np.column_stack((square, np.full(4, height))) for height in heights])
    faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * i for i in range(len(heights))])
    return trimesh.Trimesh(vertices, faces, process=False)


def rewound(mesh, seed=0):
    """The same mesh with the winding of every other face, drawn by lot, turned."""
    faces = np.array(mesh.faces)
    turned = np.random.default_rng(seed).random(len(faces)) < 0.5
    faces[turned] = faces[turned, ::-1]
    return trimesh.Trimesh(mesh.vertices, faces, process=False)

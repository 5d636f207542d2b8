#!/usr/bin/env python
"""Time the preparation of a mesh: CPU time of one thread, least of 5 rounds in turn."""

import argparse
import time

import torch
import trimesh

from pointmcd.datasets.preparation.shape import Settings, prepare_shape
from pointmcd.datasets.preparation.sources.base import Shape
from pointmcd.geometry import RayScene, normalize
from pointmcd.geometry import rig as named_rig
from pointmcd.geometry.correspondence import rig_intrinsics
from pointmcd.geometry.raster import cast_rays, native, rasterize

ROUNDS, SIZE = 5, 224


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    mesh = trimesh.creation.icosphere(subdivisions=5)
    mesh.vertices = normalize(mesh.vertices)[0]
    rig, scene = named_rig("circle12"), RayScene(mesh)
    cameras = rig_intrinsics(rig, SIZE), rig.world_to_camera(), (SIZE, SIZE)
    runs = {
        "all of the preparation": lambda: prepare_shape(Shape(mesh=mesh), Settings(image_size=SIZE), "mesh"),
        "faces of pixels by rays": lambda: cast_rays(scene, *cameras),
    }
    if native is not None:
        runs["faces of pixels by z-buffer"] = lambda: rasterize(scene, *cameras)
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - start)
    print(f"{len(mesh.faces)} faces, {rig.num_views} views of {SIZE} px")
    for name, seconds in least.items():
        print(f"| {name} | {seconds * 1e3:.1f} ms |")


if __name__ == "__main__":
    main()

"""Fixtures for all tests."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# No test is about time: a machine that is busy must not fail one. Each run draws the same cases, so that only
# a change of the code can fail it; `pytest --hypothesis-profile=explore` draws new ones.
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", ANY_MACHINE, derandomize=True)
settings.register_profile("explore", ANY_MACHINE)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real meshes, weights and official outputs beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared (real meshes, weights, official outputs)")
    return folder


@pytest.fixture(scope="session")
def official_outputs(shared: Path) -> Mapping[str, np.ndarray]:
    """What the official networks returned, by name."""
    return np.load(shared / "parity" / "official_outputs.npz")


@pytest.fixture(scope="session")
def official_networks(shared: Path) -> dict[str, Any]:
    """For each official network its keys with their shapes, and the norms of its gradients."""
    return json.loads((shared / "parity" / "official_keys.json").read_text())


@pytest.fixture(scope="session")
def tiny_meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of OFF meshes, ModelNet's layout: 4 classes with 6 shapes to train on and 3 to test on."""
    from trimesh import creation

    draws = {
        "box": lambda a, b, c: creation.box((a, b, c)),
        "cone": lambda a, b, c: creation.cone(a, 2 * b, sections=12),
        "cylinder": lambda a, b, c: creation.cylinder(a, 2 * b, sections=12),
        "torus": lambda a, b, c: creation.torus(a + 1, 0.7 * b, major_sections=12, minor_sections=8),
    }
    root = tmp_path_factory.mktemp("tiny") / "meshes"
    rng = np.random.default_rng(0)
    for name, draw in draws.items():
        for number in range(1, 10):
            path = root / name / ("train" if number <= 6 else "test") / f"{name}_{number:04d}.off"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(*rng.uniform(0.4, 1, 3)).export(path)
    return root


@pytest.fixture(scope="session")
def tiny_set(tiny_meshes: Path) -> Path:
    """``tiny_meshes`` prepared: 128 points, 4 views of 32 pixels, exact masks. Copy it to write into it."""
    from pointmcd.datasets.preparation.job import Request, prepare
    from pointmcd.geometry import CameraRig

    out = tiny_meshes.with_name("set")
    cameras = CameraRig((0.0, 90.0, 180.0, 270.0), (30.0,) * 4)
    prepare(Request("mesh-folder", {"source": tiny_meshes}, num_points=128, rig=cameras, image_size=32), out)
    return out


@pytest.fixture(scope="session")
def taught_set(tiny_set: Path) -> Path:
    """A copy of ``tiny_set`` with caches of made-up teachers under the names that the configs use."""
    root = tiny_set.with_name("taught")
    shutil.copytree(tiny_set, root)
    write_made_up_teachers(root, ("mobilenetv2", "tinyresnet", "frozen"), classifies=True)
    write_made_up_teachers(root, ("parts", "autoencoder", "clip"), classifies=False)
    return root


@pytest.fixture(scope="session")
def parts_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chairs, lamps and tables with parts: 4 to train on and 2 to test on of each, 256 points, 5 views of 64
    pixels with label and depth images, and caches of made-up teachers. Copy it to write into it.
    """
    from pointmcd.datasets.preparation.job import Request, prepare
    from pointmcd.geometry import CameraRig

    out = tmp_path_factory.mktemp("parts") / "set"
    shapes = {"train": 4, "test": 2, "categories": ["chair", "lamp", "table"]}
    cameras = CameraRig((0.0, 72.0, 144.0, 216.0, 288.0), (30.0, -30.0, 30.0, -30.0, 30.0))
    prepare(Request("builtin", shapes, num_points=256, rig=cameras, image_size=64, depths=True), out)
    write_made_up_teachers(out, ("parts", "autoencoder", "frozen"), classifies=False)
    return out


def write_made_up_teachers(root: Path, names: tuple[str, ...], classifies: bool) -> None:
    """Caches of 24 channels: descriptors, logits of a teacher that classifies, and targets of points."""
    import torch

    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.datasets.teacher_cache import TeacherCacheWriter

    prepared = PreparedSet(root)
    generator = torch.Generator().manual_seed(0)
    for name in names:
        writer, accuracy = TeacherCacheWriter(root, name), {}
        for split in prepared.splits:
            size, views = len(prepared.split(split)), prepared.num_views
            descriptors = torch.randn(size, views, 24, generator=generator).relu()
            rows = {"view_descriptors": descriptors, "descriptor": descriptors.amax(1)}
            if name == "frozen" and prepared.part_names:
                parts = len(prepared.part_names)
                rows["point_descriptors"] = torch.randn(size, 128, 6, generator=generator)
                rows["point_logits"] = torch.randn(size, 128, parts, generator=generator)
                accuracy[split] = {"overall_accuracy": 75.0}
            elif classifies:
                logits = torch.randn(size, views, len(prepared.class_names), generator=generator)
                rows |= {"logits": logits.mean(1), "view_logits": logits}
                if name == "frozen":
                    points = prepared.num_points
                    rows["point_descriptors"] = torch.randn(size, points, 6, generator=generator)
                accuracy[split] = {"overall_accuracy": 75.0, "mean_class_accuracy": 70.0}
            elif name == "parts":
                accuracy[split] = {"pixel_accuracy": 90.0, "pixel_miou": 60.0}
            else:
                accuracy[split] = {"reconstruction_l1": 0.05}
            writer.write_split(split, iter([rows]))
        writer.finish({"accuracy": accuracy})


@pytest.fixture
def forget_examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Let docs/examples be imported; a call forgets what the modules registered, and so does the end."""
    from pointmcd import registry
    from pointmcd.geometry.cameras import RIGS

    monkeypatch.syspath_prepend(REPOSITORY / "docs/examples")
    rigs = dict(RIGS)

    def forget() -> None:
        for one in (one for one in vars(registry).values() if isinstance(one, registry.Registry)):
            for name, part in list(one.module_dict.items()):
                if part.__module__.startswith("my_"):
                    del one.module_dict[name]
        # torch keeps an operator for ever, so that it cannot be declared again
        for module in [name for name in sys.modules if name.startswith("my_") and name != "my_op"]:
            del sys.modules[module]
        RIGS.clear()
        RIGS.update(rigs)

    yield forget
    forget()


@pytest.fixture
def own_types() -> Iterator[Callable[[type], dict[str, str]]]:
    """Registers models for one test; each call gives the config of one."""
    from pointmcd.registry import MODELS

    names = []

    def register(kind: type) -> dict[str, str]:
        MODELS.register_module(kind.__name__, module=kind)
        names.append(kind.__name__)
        return {"type": kind.__name__}

    yield register
    for name in names:
        del MODELS.module_dict[name]

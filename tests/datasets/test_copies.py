"""Copies of training shapes: what they are of, how they are drawn, and that no teacher knows the answers."""

import json
import shutil

import numpy as np
import pytest
import torch
import trimesh

from pointmcd.commands import cache_teacher, prepare_data
from pointmcd.datasets.label_choice import Labels, fold_numbers
from pointmcd.datasets.preparation.sources.base import Shape
from pointmcd.datasets.preparation.sources.copies import CopiedSource, CopySettings, transformed
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.evaluation import frozen_teacher
from pointmcd.evaluation.cross_fitting import Member, cross_fitted
from pointmcd.geometry import normalize

SPLITS = ("train", "copies")
WORDS = ["--points", "64", "--image-size", "32", "--azimuth", "0", "90", "180", "--elevation", "30"]


@pytest.fixture(scope="module")
def copied(tiny_meshes, tmp_path_factory):
    """``tiny_meshes``, one of which cannot be read, with two copies of each training shape."""
    folder = tmp_path_factory.mktemp("copied")
    meshes = shutil.copytree(tiny_meshes, folder / "meshes")
    (meshes / "cone/train/cone_0002.off").write_text("OFF\n1 1 0\n0 0 0\n")
    words = ["mesh-folder", "--source", str(meshes), "--out", str(folder / "set"), "--workers", "0"]
    prepare_data.main([*words, *WORDS, "--copies", "2", "--copy-turn", "40", "--copy-stretch", "2"])
    return folder


def test_what_copies_are_of(copied):
    prepared = PreparedSet(copied / "set")
    train, copies = prepared.split("train"), prepared.split("copies")
    assert prepared.splits == ["train", "copies", "test"]
    assert prepared.copy_of.tolist() == np.repeat(np.arange(23), 2).tolist()  # one was rejected
    assert np.array_equal(copies.labels, train.labels[prepared.copy_of])
    for name, of in zip(copies.names, prepared.copy_of, strict=True):
        assert name.rpartition("~")[0] == train.names[of]


def test_points_and_masks_are_of_the_turned_and_stretched_mesh(copied):
    """Each point lies on it; and a point that looks at a camera without anything between is seen."""
    prepared, settings = PreparedSet(copied / "set"), CopySettings(2, 40, 2)
    source = CopiedSource(MeshFolder(copied / "meshes"), settings, "z", 0)
    data = prepared.split("copies")
    for row in (0, 13, 45):
        item = next(item for item in source.items if item.name == data.names[row])
        mesh = source.load(item).mesh
        mesh.vertices = normalize(mesh.vertices)[0]
        _, far, _ = trimesh.proximity.closest_point_naive(mesh, data.points[row])
        assert far.max() < 1e-5
        name, _, number = item.name.rpartition("~")
        matrix = source.matrix(name, int(number), "z")
        assert np.linalg.det(matrix) > 0
        stretch = np.linalg.norm(matrix, axis=1)
        assert ((stretch >= 0.5) & (stretch <= 2)).all()
        np.testing.assert_allclose(matrix[2, :2], 0)
        np.testing.assert_allclose(matrix[:2, 2], 0)
        turn = matrix / stretch[:, None]
        assert abs(np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))) <= 40
    assert not np.allclose(source.matrix("a", 1, "z"), source.matrix("a", 2, "z"))


def test_the_axis_that_points_up_stays(tmp_path):
    source = CopiedSource.__new__(CopiedSource)
    source.settings, source.seed = CopySettings(1, 90, 1), 0
    for axis, up in enumerate("xyz"):
        np.testing.assert_allclose(source.matrix("a", 1, up)[axis], np.eye(3)[axis])


def test_normals_of_a_cloud_stay_upright_on_it():
    """Of a plane that is stretched: across it."""
    rng = np.random.default_rng(0)
    across = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    plane = np.linalg.svd(across[None])[2][1:]
    points = (rng.normal(size=(20, 2)) @ plane).astype(np.float32)
    cloud = Shape(points=points, normals=np.tile(across, (20, 1)).astype(np.float32))
    changed = transformed(cloud, np.diag([2.0, 0.5, 1.0]))
    np.testing.assert_allclose((changed.points * changed.normals).sum(1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(changed.normals, axis=1), 1, rtol=1e-6)


def test_the_original_shapes_are_as_without_copies(copied):
    out = copied / "plain"
    prepare_data.main(["mesh-folder", "--source", str(copied / "meshes"), "--out", str(out), *WORDS])
    plain, both = PreparedSet(out), PreparedSet(copied / "set")
    assert plain.splits == ["train", "test"]
    assert not len(plain.copy_of)
    assert "copies" not in plain.manifest["request"]
    for split in plain.splits:
        for file in (out / split).iterdir():
            assert file.read_bytes() == (copied / "set" / split / file.name).read_bytes(), file
    with pytest.raises(ValueError, match=r"has no copies of train.*--copies N"):
        PreparedShapes(str(out), "train", num_points=8, copies=True)
    with pytest.raises(ValueError, match="has no copies of test"):
        PreparedShapes(str(copied / "set"), "test", num_points=8, copies=True)
    assert both.manifest["request"]["copies"] == {"count": 2, "turn_deg": 40.0, "stretch": 2.0}


def test_each_is_as_likely_as_the_other(copied):
    options = {"num_points": 8, "views": 2, "visibility": True, "label_fraction": 0.5, "unlabelled": "rest"}
    dataset = PreparedShapes(str(copied / "set"), "fit", copies=True, **options)
    plain = PreparedShapes(str(copied / "set"), "fit", **options)
    copies = PreparedSet(copied / "set").split("copies")
    assert np.array_equal(dataset.rows, plain.rows)
    torch.manual_seed(0)
    batch = dataset.__getitems__([4] * 900)
    assert (batch["label"] == plain.labels[4]).all()
    row = dataset.rows[4]
    looks = np.stack([plain[4]["points"][0], *copies.points[[2 * row, 2 * row + 1], :8]])
    which = (batch["points"].numpy()[:, None] == looks).all((2, 3))
    assert (which.sum(1) == 1).all()
    assert (which.sum(0) > 250).all()
    seen = copies.visibility[2 * row + 1, :8].view(np.int32)
    assert (batch["visibility"].numpy()[which[:, 2]] == seen).all()
    torch.manual_seed(3)
    first = dataset.__getitems__([1, 5, 2])
    torch.manual_seed(3)
    assert torch.equal(first["views"], dataset.__getitems__([1, 5, 2])["views"])


def test_no_logit_of_a_copy_depends_on_its_label(copied, tmp_path, monkeypatch):
    """With another label on one shape, what is said of it and of its copies stays; of others it does not."""
    root = shutil.copytree(copied / "set", tmp_path / "set")
    words = ["--frozen", "test_resnet", "--weights", "random", "--input-size", "0", "--data", str(root)]
    words += ["--folds", "3", "--dim", "4", "--regularisation", "0.1"]
    torch.manual_seed(0)
    cache_teacher.main(words)
    before = {split: TeacherCache(root, "frozen").split(split).arrays["logits"][:] for split in SPLITS}
    labels = np.load(root / "train/labels.npy")
    numbers = fold_numbers(labels, 3)
    one, other = 2, int(np.flatnonzero((labels == 3) & (numbers == numbers[2]))[0])  # they change places
    labels[[one, other]] = labels[[other, one]]
    np.save(root / "train/labels.npy", labels)
    monkeypatch.setattr(frozen_teacher, "fold_numbers", lambda *_: numbers)  # a function of the labels
    torch.manual_seed(0)
    cache_teacher.main(words)
    after = {split: TeacherCache(root, "frozen").split(split).arrays["logits"][:] for split in SPLITS}
    fold = numbers == numbers[2]
    for split, rows in {"train": fold, "copies": np.repeat(fold, 2)}.items():
        np.testing.assert_array_equal(after[split][rows], before[split][rows])
        assert (after[split][~rows] != before[split][~rows]).any(1).all()
    dataset = PreparedShapes(str(root), "train", num_points=8, copies=True, teacher="frozen")
    assert dataset.__getitems__([0, 3])["teacher"]["logits"].shape == (2, 4)


def test_of_a_copy_speaks_who_has_not_seen_the_shape(copied):
    prepared = PreparedSet(copied / "set")
    sizes = {split: len(prepared.split(split)) for split in prepared.splits}
    rng = np.random.default_rng(0)
    members = [
        Member(
            {split: rng.normal(size=(size, 4)) for split, size in sizes.items()},
            Labels(without_fold=(k, 3)),
            {},
        )
        for k in range(3)
    ]
    opinion = cross_fitted(prepared, members)
    numbers = fold_numbers(prepared.split("train").labels, 3)
    for row, number in enumerate(np.repeat(numbers, 2)):
        said = members[number].logits["copies"][row]
        np.testing.assert_allclose(opinion.logits["copies"][row], said - np.log(np.exp(said).sum()))
    assert opinion.spoken["copies"].all()


def test_what_is_wrong_is_named(copied, tmp_path):
    words = ["builtin", "--out", str(tmp_path / "set")]
    with pytest.raises(SystemExit, match="need --copies N, whose copies they shape"):
        prepare_data.main([*words, "--copy-turn", "3"])
    with pytest.raises(SystemExit, match=r"stretched by up to 0\.5"):
        prepare_data.main([*words, "--copies", "1", "--copy-stretch", "0.5"])
    manifest = json.loads((copied / "set/manifest.json").read_text())
    assert manifest["copies"].keys() == {"of"}

"""Folders of one's own clouds: layouts, columns, parts and their names, down to the prepared set."""

import numpy as np
import pytest

from pointmcd.commands import prepare_data
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.cloud_folder import CloudFolder
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.preparation.sources.part_numbers import PartNumbers
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.geometry import MeshError

PARTS = {"ball": (1, 5), "box": (0, 5)}


def ball(seed, scale=(1, 1, 1)):
    """(200, 10): points and normals of an ellipsoid's upper and lower half, colours and parts 5 and 1."""
    normals = np.random.default_rng(seed).normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    above = normals[:, 2] > 0
    colors = np.where(above[:, None], (255, 0, 0), (0, 0, 255))
    return np.column_stack([normals * scale, normals, colors, np.where(above, 5, 1)])


@pytest.fixture
def clouds(tmp_path):
    """Two classes in three formats, 2 to train on and 1 to test on of each; all with ten columns."""
    root = tmp_path / "clouds"
    head = "x y z nx ny nz red green blue part"
    for number, (name, low) in enumerate({"ball": 1, "box": 0}.items()):
        for split, seeds in (("train", (0, 1)), ("test", (2,))):
            (root / name / split).mkdir(parents=True)
            for seed in seeds:
                table = ball(10 * number + seed)
                table[table[:, 9] == 1, 9] = low
                path = root / name / split / f"{name}{seed}"
                if seed == 0:
                    np.savetxt(path.with_suffix(".txt"), table, header=head)
                elif seed == 1:
                    np.savetxt(
                        path.with_suffix(".csv"),
                        table,
                        "%.6f",
                        ",",
                        header=head.replace(" ", ","),
                        comments="",
                    )
                else:
                    np.savez(
                        path,
                        points=table[:, :3],
                        normals=table[:, 3:6],
                        colors=table[:, 6:9],
                        part=table[:, 9],
                    )
    return root


def test_mixed_formats_have_the_same_columns_and_parts(clouds, capsys):
    source = CloudFolder(clouds)
    assert [item.name for item in source.items] == [
        "ball/ball0",
        "ball/ball1",
        "box/box0",
        "box/box1",
        "ball/ball2",
        "box/box2",
    ]
    assert source.part_names == ["ball-1", "ball-5", "box-0", "box-5"]
    assert (source.surfaces, source.normals, source.class_parts) == (False, True, [[0, 1], [2, 3]])
    for item in source.items:
        shape = source.load(item)
        above = shape.points[:, 2] > 0
        np.testing.assert_array_equal(shape.point_parts, np.where(above, 1, 0) + 2 * item.label)
        np.testing.assert_allclose(shape.normals, shape.points, atol=1e-5)
        np.testing.assert_allclose(shape.colors, np.where(above[:, None], (1, 0, 0), (0, 0, 1)))
    assert "read are points, normals, colors, parts" in capsys.readouterr().err
    bare = CloudFolder(clouds, without=["normals", "parts"])
    shape = bare.load(bare.items[0])
    assert (bare.normals, bare.part_names, shape.normals, shape.point_parts) == (False, None, None, None)
    assert shape.colors is not None


def test_a_prepared_set_holds_all_of_it(clouds, tmp_path, capsys):
    (clouds / "parts.txt").write_text(
        "ball 1 lower half\nball 5 upper\n\n# a comment\nbox\t0\tbottom\nbox 5 top\n"
    )
    (clouds / "ball/train/bad.txt").write_text("1 2\n")
    words = [
        "--points",
        "64",
        "--azimuth",
        "0",
        "90",
        "--elevation",
        "30",
        "--image-size",
        "32",
        "--workers",
        "0",
    ]
    code = prepare_data.main(
        ["cloud-folder", "--source", str(clouds), "--out", str(tmp_path / "set"), *words]
    )
    assert code == 3  # one was rejected
    prepared = PreparedSet(tmp_path / "set")
    prepared.verify()
    assert prepared.part_names == ["ball-lower half", "ball-upper", "box-bottom", "box-top"]
    assert [one["name"] for one in prepared.manifest["rejected"]] == ["ball/bad"]
    assert (prepared.has_views, prepared.has_part_views, prepared.manifest["visibility"]) == (
        True,
        True,
        "ray",
    )
    batch = PreparedShapes(str(tmp_path / "set"), "train", 64, normals=True, colors=True, visibility=True)[0]
    above = batch["points"][0, :, 2] > 0
    assert (batch["colors"][0, above] == batch["colors"].new_tensor([1, 0, 0])).all()
    seen = batch["visibility"][0, :, None] >> batch["visibility"].new_tensor([0, 1]) & 1
    facing = batch["normals"][0] @ prepared_cameras(prepared).T
    assert ((facing > 0.5) <= (seen == 1)).float().mean() > 0.95  # who looks at a camera is seen by it
    assert ((facing < -0.3) <= (seen == 0)).float().mean() > 0.95
    again = prepare_data.main(
        ["cloud-folder", "--source", str(clouds), "--out", str(tmp_path / "set"), *words]
    )
    assert again == 3
    assert "nothing was done" in capsys.readouterr().out


def prepared_cameras(prepared):
    """(V, 3) directions to the cameras."""
    import torch

    from pointmcd.geometry import CameraRig

    positions = CameraRig.from_dict(prepared.manifest["rig"]).positions()
    return torch.from_numpy(positions / np.linalg.norm(positions, axis=1, keepdims=True)).float()


def test_clouds_that_lack_what_others_have_are_rejected(clouds):
    table = ball(3)
    np.savetxt(clouds / "ball/train/more.xyz", table[:, :3])
    (clouds / "ball/train/mesh.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    )
    source = CloudFolder(clouds)
    items = {item.name: item for item in source.items}
    with pytest.raises(MeshError, match=r"no normals, which ball/train/ball0.txt has; --without normals"):
        source.load(items["ball/more"])
    with pytest.raises(MeshError, match="it has faces: mesh-folder"):
        source.load(items["ball/mesh"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ball 1 low\nball 5 up\n", "names no parts of box"),
        ("ball one low\n", "line 1: 'ball one low' is not `category number name`"),
        ("ball 1 low\nbal 2 up\n", "line 2: 'bal 2 up' is not"),
        ("ball 1 low\nball 1 up\n", "line 2: the ball has that part already"),
        ("ball 1\n", "line 1: 'ball 1' is not"),
    ],
)
def test_names_of_parts_that_cannot_be(clouds, text, message):
    (clouds / "parts.txt").write_text(text)
    with pytest.raises(SourceError, match=message):
        CloudFolder(clouds)


def test_a_part_that_is_not_listed_rejects_its_shape(clouds):
    (clouds / "parts.txt").write_text("ball 5 up\nball 7 none\nbox 0 low\nbox 5 up\n")
    source = CloudFolder(clouds)
    with pytest.raises(MeshError, match=r"parts \[1\]; a ball has 5, 7"):
        source.load(source.items[0])


def test_names_of_categories_and_parts_may_hold_blanks(tmp_path):
    (tmp_path / "parts.txt").write_text("arm chair 0 left leg\nchair 0 leg\n")
    assert PartNumbers.listed(tmp_path, ["arm chair", "chair"]).names == ["arm chair-left leg", "chair-leg"]


def test_columns_are_given_where_they_cannot_be_found(tmp_path):
    table = ball(0)
    for split in ("train", "test"):
        (tmp_path / "c" / split).mkdir(parents=True)
        np.savetxt(tmp_path / "c" / split / f"{split}.txt", table[:, [9, 0, 1, 2]], delimiter=";")
    source = CloudFolder(tmp_path, columns="part x y z", separator="semicolon")
    np.testing.assert_allclose(source.load(source.items[0]).points, table[:, :3])
    assert source.part_names == ["c-1", "c-5"]
    with pytest.raises(SourceError, match="have no z"):
        CloudFolder(tmp_path, columns="part x y -")
    for path in tmp_path.glob("c/*/*.txt"):
        np.savetxt(path, table[:, :3], header="x y z")
    with pytest.raises(SourceError, match=r"--part-column segment: c/train/train.txt: .*segment"):
        CloudFolder(tmp_path, part_column="segment")


def test_the_other_kind_of_folder_is_named(clouds, tiny_meshes):
    with pytest.raises(SourceError, match="folders of point clouds are prepared by cloud-folder"):
        MeshFolder(clouds)
    with pytest.raises(SourceError, match="folders of meshes are prepared by mesh-folder"):
        CloudFolder(tiny_meshes)


def test_unlabelled_clouds_are_one_class(clouds):
    source = CloudFolder(clouds, unlabelled=True)
    assert (source.class_names, source.part_names) == (["unlabelled"], None)
    assert len(source.items) == 6


def test_large_clouds_are_thinned_for_their_pictures_alone(monkeypatch, tmp_path):
    from pointmcd.datasets.preparation import shape as module
    from pointmcd.datasets.preparation.sources import Shape

    table = ball(0)
    whole = Shape(points=table[:, :3], normals=table[:, 3:6], point_parts=table[:, 9].astype(int))
    settings = module.PointSettings(num_points=16)
    before = module.sample_shape(whole, settings, "a")
    monkeypatch.setattr(module, "MOST_SPLATS", 50)
    after = module.sample_shape(whole, settings, "a")
    np.testing.assert_array_equal(before.points, after.points)
    np.testing.assert_array_equal(after.cloud[after.rows], after.points)
    assert len(after.cloud) < 70
    encoded = module.prepare_shape(
        whole, module.Settings(settings, rig=module.rig("circle12"), image_size=16, num_parts=6), "a"
    )
    assert encoded.arrays["visibility"].shape == (16,)
    assert len(encoded.images["part_views"]) == 12

"""Clouds as tools write them and as they break: the same points, or a refusal that says why."""

import numpy as np
import pytest
from given import check_refused, given_file

from pointmcd.apis.files import read_shape
from pointmcd.datasets.preparation.shape import PointSettings, prepare_points
from pointmcd.datasets.preparation.sources import source_class
from pointmcd.geometry import MeshError

SAME = """cl_xyz cl_txt_rgb cl_tab cl_crlf cl_blank_lines cl_trailing cl_head_hash cl_npy_6 cl_npy_f64
cl_comma cl_comma_space cl_ply_face0 cl_ply_view_list cl_ply_gs cl_ply_xyz_last cl_semicolon cl_head_cc
cl_pts_like cl_head_hash_commas cl_bom cl_latin1 cl_npz cl_pts_suffix cl_head_csv cl_head_names cl_pcd"""
NEAR = {"cl_npy_f16": 1e-3, "cl_npy_int": 2e-3, "cl_utm_xyz": 1e-5, "cl_ply_double_utm": 1e-6}
COUNTS = {"cl_few": 20, "cl_dups": 500, "cl_outlier": 301}
REFUSED = {
    "cl_npy_3N": r"\(3, 300\) looks like its transpose",
    "cl_nan_rows": r"5 of 305 rows are not finite",
    "cl_npy_1N3": r"not \(1, 300, 3\)",
    "cl_npy_struct": r"not \(300,\) of \[\('x'",
    "cl_npy_object": "Object arrays",
    "cl_two_cols": r"not \(300, 2\)",
    "cl_one": "a single point",
    "cl_same": "a single point, 300 times",
    "cl_empty": "the file is empty",
    "cl_utf16": "UTF-16",
    "cl_las": "Incoherent header size",
    "cl_decimal_comma": "line 1: '0,0236432494' is not a number; decimals have a point",
    "cl_decimal_comma_blank": "line 1: '023643 0' is not a number",
    "cl_atom_xyz": "promises 300 points, 301 lines follow",
    "cl_label_word": "line 1: 'chair' is not a number",
    "cl_index_first": "its first column counts the rows",
}
ELSEWHERE = {"cl_off_nofaces", "cl_obj_nofaces"}  # with the meshes


@pytest.fixture
def normalised(cases):
    """Read a given file and normalise it, in the order of the file."""

    def read_and_normalise(name):
        cloud = np.asarray(read_shape(given_file(cases, name)), dtype=np.float64)[:, :3]
        centred = cloud - (cloud.min(0) + cloud.max(0)) / 2
        return centred / np.linalg.norm(centred, axis=1).max()

    return read_and_normalise


@pytest.mark.parametrize("name", [*SAME.split(), *NEAR])
def test_given_files_hold_the_same_cloud(normalised, name):
    np.testing.assert_allclose(normalised(name), normalised("cl_xyz"), atol=NEAR.get(name, 1e-6))


@pytest.mark.parametrize(("name", "count"), COUNTS.items(), ids=COUNTS)
def test_given_files_have_their_count(cases, name, count):
    cloud = read_shape(given_file(cases, name))
    assert cloud.shape == (count, 3)
    assert prepare_points(cloud, PointSettings(num_points=32)).shape == (32, 3)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=REFUSED)
def test_given_files_are_refused(cases, name, reason):
    check_refused(cases, name, reason)


def test_every_given_cloud_is_in_a_table(cases):
    known = {*SAME.split(), *NEAR, *COUNTS, *REFUSED, *ELSEWHERE}
    assert {path.name for path in cases.iterdir() if path.name.startswith("cl_")} == known


@pytest.mark.parametrize(
    ("name", "source", "shapes", "parts"),
    [
        ("snp_v0", "shapenet-part", 5, [4]),
        ("snp_custom", "shapenet-part", 5, [2]),
        ("mn40_hdf5", "modelnet40", 80, []),
        ("lay_clouds", "cloud-folder", 8, []),
        ("lay_ply_clouds", "cloud-folder", 8, []),
    ],
)
def test_given_forms_of_sets_are_read(cases, name, source, shapes, parts):
    folder = cases / name
    collection = source_class(source)(folder / "src" if (folder / "src").is_dir() else folder)
    assert len(collection.items) == shapes
    used = {item.label for item in collection.items}
    assert [len(collection.class_parts[label]) for label in used if collection.class_parts] == parts
    for item in collection.items[::7]:
        shape = collection.load(item)
        assert shape.points.shape == (len(shape.points), 3)
        assert parts == [] or set(shape.point_parts) <= set(collection.class_parts[item.label])


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("snp_fracpart", "shapenet-part", "the part 12.7 is not a whole number"),
        ("snp_comma", "shapenet-part", "unreadable"),
        ("snp_4col", "shapenet-part", "4 columns instead of 7"),
        ("seg_neg", "mesh-folder", "has the part -1 at 44 of 80 faces"),
        ("seg_per_vertex", "mesh-folder", "has 42 parts, the mesh has 80 faces"),
        ("seg_floats", "mesh-folder", "not one integer per face"),
        ("lay_ply_clouds", "mesh-folder", "300 vertices, 0 faces"),
    ],
)
def test_given_shapes_are_rejected(cases, name, source, reason):
    collection = source_class(source)(cases / name / "src")
    for item in collection.items:
        with pytest.raises(MeshError, match=reason if item.label == 0 else None):
            collection.load(item)


def test_given_parts_that_no_training_shape_has_are_said(cases, capsys):
    source_class("mesh-folder")(cases / "seg_test_only_part" / "src")
    assert "no shape to train on has the parts ball-2, box-2" in capsys.readouterr().err
    source_class("mesh-folder")(cases / "seg_ok" / "src")
    assert not capsys.readouterr().err


# What follows is made here.

CLOUD = np.random.default_rng(0).normal(size=(20, 3)).round(4)


def rows(separator=" ", extra=""):
    return "\n".join(separator.join(map(str, row)) + extra for row in CLOUD) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", rows(";")),
        ("a.txt", "//X;Y;Z\n" + rows(";", ";")),
        ("a.txt", "//X Y Z R G B\n" + rows(" ", " 1 2 3")),
        ("a.txt", "20\n" + rows()),
        ("a.pts", "20\n" + rows(" ", " 0.5 1 2 3")),
        ("a.csv", "x,y,z\n" + rows(",")),
        ("a.txt", "# x, y, z, by a tool\n" + rows()),
        ("a.xyz", "\ufeff" + rows()),
        ("a.xyz", rows("\t").replace("\n", "\r\n\r\n")),
        ("a.csv", "id,Y,Z,X\n" + "\n".join(f"{i},{y},{z},{x}" for i, (x, y, z) in enumerate(CLOUD))),
        ("a.txt", "// nx ny nz x y z\n" + "\n".join(f"0 0 1 {x} {y} {z}" for x, y, z in CLOUD)),
    ],
)
def test_text_that_tools_write(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8", newline="")
    np.testing.assert_array_equal(read_shape(tmp_path / name)[:, :3], CLOUD)


def test_comments_in_any_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"# caf\xe9\n" + rows().encode())
    np.testing.assert_array_equal(read_shape(tmp_path / "a.txt"), CLOUD)


def test_npz_of_one_array_or_of_points(tmp_path):
    np.savez(tmp_path / "a.npz", cloud=CLOUD)
    np.savez(tmp_path / "b.npz", normals=np.ones(3), points=CLOUD)
    for name in "ab":
        np.testing.assert_array_equal(read_shape(tmp_path / f"{name}.npz"), CLOUD)
    np.savez(tmp_path / "c.npz", first=CLOUD, second=CLOUD)
    with pytest.raises(MeshError, match=r"c.npz .*no array points; it has first, second"):
        read_shape(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("30\n" + rows(), "promises 30 points, 20 lines follow"),
        (rows() + "1 2\n", "line 21 has 2 columns, those before have 3"),
        (rows() + "1 2 x\n", "line 21: 'x' is not a number"),
        (rows(";").replace(".", ","), "decimals have a point"),
        (rows() + "nan nan nan\n", r"1 of 21 rows are not finite, row 20 first"),
        ("# nothing\n", "empty except for its header"),
        ("\n".join(f"{i} {x} {y} {z}" for i, (x, y, z) in enumerate(CLOUD)), "first column counts the rows"),
    ],
)
def test_broken_text_says_where(tmp_path, text, reason):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(MeshError, match=reason) as error:
        read_shape(tmp_path / "a.txt")
    assert str(tmp_path / "a.txt") in str(error.value)


@pytest.mark.parametrize("cloud", [CLOUD.T, CLOUD.astype(str), CLOUD.astype(complex), CLOUD > 0])
def test_arrays_that_are_no_clouds(cloud):
    with pytest.raises(MeshError, match="a cloud has"):
        prepare_points(cloud, PointSettings(num_points=8))


def test_damaged_arrays_are_mesh_errors(tmp_path):
    """Cut off anywhere: all that comes of NPY, NPZ and PLY is a refusal."""
    np.save(tmp_path / "a.npy", CLOUD)
    np.savez_compressed(tmp_path / "a.npz", CLOUD)
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 20\n"
    header += "".join(f"property double {axis}\n" for axis in "xyz") + "end_header\n"
    (tmp_path / "a.ply").write_bytes(header.encode() + CLOUD.tobytes())
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        assert read_shape(path).shape == (20, 3)
        for length in range(0, len(whole) - 1, 11):
            path.write_bytes(whole[:length])
            with pytest.raises(MeshError, match=path.name):
                read_shape(path)

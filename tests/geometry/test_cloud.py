"""What is read of clouds: columns by their names or by their values, in every format alike."""

import io
import sys

import numpy as np
import pytest

from pointmcd.geometry import CloudColumns, MeshError, load_cloud

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(30, 3)).round(3)
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
COLORS = RNG.integers(0, 256, (30, 3))
PARTS = RNG.integers(0, 3, 30)
TABLE = np.column_stack([POINTS, NORMALS, COLORS, PARTS])
FAR = np.array([500_000, 0, 0])
NAMES = "x y z nx ny nz red green blue label"


def text(path, table=TABLE, head="", separator=" "):
    path.write_text(head + "\n".join(separator.join(f"{value:.8g}" for value in row) for row in table) + "\n")
    return path


def ply(path):
    kinds = ["double"] * 3 + ["float"] * 3 + ["uchar"] * 3 + ["int"]
    head = "ply\nformat ascii 1.0\nelement vertex 30\n"
    head += "".join(f"property {kind} {name}\n" for kind, name in zip(kinds, NAMES.split(), strict=True))
    return text(path, head=head + "element face 0\nproperty list uchar int vertex_indices\nend_header\n")


def npz(path):
    arrays = {"points": POINTS, "normals": NORMALS, "colors": COLORS.astype(np.uint8), "label": PARTS}
    np.savez(path, **arrays)
    return path


def pcd(path):
    pytest.importorskip("pypcd4", reason="PCD needs the extra clouds")
    packed = (COLORS[:, 0] << 16 | COLORS[:, 1] << 8 | COLORS[:, 2]).astype(np.uint32)
    head = "VERSION 0.7\nFIELDS x y z normal_x normal_y normal_z rgb label\nSIZE 8 8 8 4 4 4 4 4\n"
    head += "TYPE F F F F F F U U\nCOUNT 1 1 1 1 1 1 1 1\nWIDTH 30\nHEIGHT 1\n"
    head += "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 30\n"
    rows = [
        " ".join(map(str, [*point, *normal, color, part]))
        for point, normal, color, part in zip(POINTS, NORMALS, packed, PARTS, strict=True)
    ]
    path.write_text(head + "DATA ascii\n" + "\n".join(rows) + "\n")
    return path


WRITERS = {
    "text": lambda folder: text(folder / "a.txt", head=f"# {NAMES}\n"),
    "csv": lambda folder: text(folder / "a.csv", head=NAMES.replace(" ", ",") + "\n", separator=","),
    "CloudCompare": lambda folder: text(
        folder / "a.xyz", head="//X Y Z Nx Ny Nz R G B scalar_Label\n", separator=" "
    ),
    "ply": lambda folder: ply(folder / "a.ply"),
    "npz": lambda folder: npz(folder / "a.npz"),
    "pcd": lambda folder: pcd(folder / "a.pcd"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_named_columns_are_found_in_every_format(tmp_path, write):
    cloud = load_cloud(write(tmp_path))
    np.testing.assert_allclose(cloud.points, POINTS, atol=1e-9)
    np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-6)
    np.testing.assert_allclose(cloud.colors, COLORS / 255, atol=1e-6)
    np.testing.assert_array_equal(cloud.parts, PARTS)


def test_las_is_scaled_and_its_classification_is_asked_for(tmp_path):
    laspy = pytest.importorskip("laspy", reason="LAS needs the extra clouds")
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [0.001] * 3, [500_000.0, 0, 0]
    las = laspy.LasData(header)
    las.x, las.y, las.z = (POINTS + FAR).T
    las.red, las.green, las.blue = (COLORS * 257).T
    las.classification = PARTS
    las.write(tmp_path / "a.las")
    cloud = load_cloud(tmp_path / "a.las")
    np.testing.assert_allclose(cloud.points - FAR, POINTS, atol=5e-4)
    np.testing.assert_allclose(cloud.colors, COLORS / 255, atol=1e-6)
    assert (cloud.normals, cloud.parts) == (None, None)
    asked = load_cloud(tmp_path / "a.las", CloudColumns.of(None, part="classification"))
    np.testing.assert_array_equal(asked.parts, PARTS)
    las.write(tmp_path / "a.laz")
    np.testing.assert_array_equal(load_cloud(tmp_path / "a.laz").points, cloud.points)


@pytest.mark.parametrize(
    ("columns", "suffix", "expected"),
    [
        ([POINTS], "txt", "x y z"),
        ([POINTS, NORMALS], "npy", "x y z nx ny nz"),
        ([POINTS, COLORS], "xyz", "x y z red green blue"),
        ([POINTS, NORMALS, COLORS], "txt", "x y z nx ny nz red green blue"),
        ([POINTS, COLORS, NORMALS], "txt", "x y z red green blue nx ny nz"),
        ([POINTS, NORMALS, PARTS], "txt", "x y z nx ny nz part"),
        ([POINTS, PARTS + 0.5, COLORS], "pts", "x y z - red green blue"),
        ([POINTS, PARTS], "txt", "x y z -"),  # a part, or an intensity
        ([POINTS, POINTS], "npy", "x y z - - -"),
        ([POINTS, COLORS, PARTS], "txt", "x y z red green blue -"),
    ],
)
def test_columns_without_names_are_what_their_values_show(tmp_path, columns, suffix, expected):
    table, path = np.column_stack(columns), tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, table)
    else:
        text(path, table)
    cloud = load_cloud(path)
    assert " ".join(cloud.columns) == expected
    assert (cloud.normals is not None, cloud.colors is not None, cloud.parts is not None) == (
        "nx" in expected,
        "red" in expected,
        "part" in expected,
    )


def test_columns_that_are_given_count_more_than_what_is_found(tmp_path):
    path = text(tmp_path / "a.txt", np.column_stack([PARTS, POINTS[:, ::-1]]), "# x y z nx\n", "\t")
    cloud = load_cloud(path, CloudColumns.of("part z y x", "tab"))
    np.testing.assert_allclose(cloud.points, POINTS)
    np.testing.assert_array_equal(cloud.parts, PARTS)
    assert load_cloud(path, CloudColumns.of("part z y x"), wanted=()).parts is None
    with pytest.raises(MeshError, match="4 columns, and 3 are named: x y z"):
        load_cloud(path, CloudColumns.of("x y z"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x y label",), "have no z"),
        (("x y z x",), "have x twice"),
        (("x y z", "pipe"), "the separator is 'pipe'"),
        (("x y z", None, "floor"), "have no floor, which should hold the parts"),
    ],
)
def test_columns_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        CloudColumns.of(*arguments)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("nx", np.nan, "1 of 30 normals are not finite"),
        ("red", -1, "its colours are -1 to"),
        ("label", 1.5, "the part 1.5 is not a whole number"),
        ("label", -1, "the part -1 at 1 of 30 points"),
    ],
)
def test_damaged_columns_refuse_the_shape_where_they_are_wanted(tmp_path, column, value, message):
    table = TABLE.copy()
    table[3, NAMES.split().index(column)] = value
    path = text(tmp_path / "a.txt", table, f"# {NAMES}\n")
    with pytest.raises(MeshError, match=message):
        load_cloud(path)
    np.testing.assert_allclose(load_cloud(path, wanted=()).points, POINTS)


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    for name, package in (("a.pcd", "pypcd4"), ("a.las", "laspy")):
        (tmp_path / name).write_bytes(b"anything")
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MeshError, match=rf'read by {package}: pip install "pointmcd\[clouds\]"'):
            load_cloud(tmp_path / name)


def test_scans_cut_off_between_points_are_refused(tmp_path):
    whole = pcd(tmp_path / "a.pcd").read_text()
    (tmp_path / "a.pcd").write_text("".join(whole.splitlines(True)[:-4]))
    with pytest.raises(MeshError, match="cut off: 30 points promised, 26 found"):
        load_cloud(tmp_path / "a.pcd")
    laspy = pytest.importorskip("laspy", reason="LAS needs the extra clouds")
    las = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
    las.x, las.y, las.z = POINTS.T
    las.write(tmp_path / "a.las")
    size = las.point_format.size
    (tmp_path / "a.las").write_bytes((tmp_path / "a.las").read_bytes()[: -4 * size])
    with pytest.raises(MeshError, match="cut off: 30 points promised, 26 found"):
        load_cloud(tmp_path / "a.las")


@pytest.mark.parametrize("encoding", ["BINARY", "BINARY_COMPRESSED"])
def test_pcd_in_its_binary_forms(tmp_path, encoding):
    pypcd4 = pytest.importorskip("pypcd4", reason="PCD needs the extra clouds")
    points = POINTS.astype(np.float32)
    pypcd4.PointCloud.from_xyz_points(points).save(tmp_path / "a.pcd", pypcd4.Encoding[encoding])
    np.testing.assert_array_equal(load_cloud(tmp_path / "a.pcd").points, points)


def test_zero_normals_stay_and_others_get_length_1(tmp_path):
    normals = 3 * NORMALS
    normals[0] = 0
    buffer = io.BytesIO()
    np.savez(buffer, points=POINTS, normals=normals)
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    length = np.linalg.norm(load_cloud(tmp_path / "a.npz").normals, axis=1)
    np.testing.assert_allclose(length, [0, *[1] * 29], atol=1e-6)

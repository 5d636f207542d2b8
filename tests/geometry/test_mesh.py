"""Reading meshes of every format and every kind of damage, and bringing them into the common frame."""

import io
import tarfile

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointmcd.geometry import MeshError, load_mesh, normalize, to_z_up

VERTICES = ["0 0 0", "1 0 0", "1 1 0", "0 1 0", "0 0 1", "1 0 1", "1 1 1", "0 1 1"]
QUADS = ["0 3 2 1", "4 5 6 7", "0 1 5 4", "1 2 6 5", "2 3 7 6", "3 0 4 7"]


def cube_off(header="OFF\n8 6 12", vertex="{}", face="4 {}", newline="\n", lines=None):
    text = [*header.split("\n"), *map(vertex.format, VERTICES), *map(face.format, QUADS)]
    return newline.join(text[:lines]) + newline


def load_off(text):
    return load_mesh((io.BytesIO(text.encode() if isinstance(text, str) else text), "off"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(cube_off(), id="plain"),
        pytest.param(cube_off("OFF8 6 12"), id="counts joined to the header"),
        pytest.param(cube_off("OFF 8 6 12"), id="counts on the header's line"),
        pytest.param(cube_off("8 6 12"), id="no header"),
        pytest.param(cube_off("OFF\n8 6"), id="no edge count"),
        pytest.param(cube_off("# a cube\n\nOFF # text\n# 9 9 9\n8 6 0\n"), id="comments and empty lines"),
        pytest.param(cube_off(newline="\r\n"), id="carriage returns"),
        pytest.param("\ufeff" + cube_off(), id="byte order mark"),
        pytest.param(cube_off("COFF\n8 6 0", vertex="{} 255 0 0 255"), id="vertex colours"),
        pytest.param(cube_off(vertex="{} 0.5 0.5 0.5"), id="vertex colours unannounced"),
        pytest.param(cube_off("NOFF\n8 6 0", vertex="{} 0 0 1"), id="vertex normals"),
        pytest.param(cube_off(face="4 {} 3 0.1 0.2 0.3"), id="face colours"),
        pytest.param(cube_off("OFF\n8 8 0") + "2 0 1\n1 5\n", id="edges and points among the faces"),
        pytest.param(cube_off() + "trailing words\n", id="more lines than promised"),
    ],
)
def test_off_variants_read_as_the_unit_cube(text):
    mesh = load_off(text)
    assert mesh.vertices.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)
    assert mesh.is_watertight
    np.testing.assert_allclose((mesh.volume, mesh.area), (1, 6))


def test_off_polygons_become_fans():
    angle = 2 * np.pi * np.arange(7) / 7
    rows = [f"{np.cos(a)} {np.sin(a)} 0" for a in angle]
    mesh = load_off("\n".join(["OFF", "7 1 0", *rows, "7 0 1 2 3 4 5 6"]))
    assert len(mesh.faces) == 5
    np.testing.assert_allclose(mesh.area, 3.5 * np.sin(2 * np.pi / 7))


BAD = {
    "empty file": ("", "empty file"),
    "not a mesh": ("hello", "unreadable OFF"),
    "words for counts": ("OFF\neight six\n", "unreadable OFF"),
    "binary": ("OFF BINARY\n8 6 0\n", "unreadable OFF"),
    "four dimensions": (cube_off("4OFF\n8 6 0", vertex="{} 1"), "unreadable OFF"),
    "nothing in it": ("OFF\n0 0 0\n", "0 vertices, 0 faces"),
    "points only": ("OFF\n2 0 0\n0 0 0\n1 1 1\n", "2 vertices, 0 faces"),
    "cut off in the vertices": (cube_off(lines=7), "8 vertices and 6 faces promised, 5 lines follow"),
    "cut off in the faces": (cube_off(lines=12), "8 vertices and 6 faces promised, 10 lines follow"),
    "more faces than promised": (
        cube_off("OFF\n8 5 0"),
        "8 vertices and 5 faces promised, but numbers follow",
    ),
    "more vertices than promised": (cube_off("OFF\n7 6 0"), "unreadable OFF"),
    "cut off in a vertex": ("OFF\n3 1 0\n0 0 0\n1 0\n0 1 0\n3 0 1 2\n", "unreadable OFF"),
    "cut off in a face": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1\n", "unreadable OFF"),
    "a word among the numbers": (cube_off(vertex="{}x"), "unreadable OFF"),
    "a vertex that is not there": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n", "the faces name 0 to 3"),
    "a negative vertex": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n", "the faces name -1 to 1"),
    "NaN": ("OFF\n3 1 0\n0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n", "not finite"),
    "infinite": ("OFF\n3 1 0\n0 0 0\ninf 0 0\n0 1 0\n3 0 1 2\n", "not finite"),
    "a single point": ("OFF\n3 1 0\n1 2 3\n1 2 3\n1 2 3\n3 0 1 2\n", "zero area"),
    "on a line": ("OFF\n3 1 0\n.1 .1 .1\n.2 .2 .2\n.7 .7 .7\n3 0 1 2\n", "zero area"),
    "one corner twice": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 1\n", "zero area"),
}


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_off_says_why(text, reason):
    with pytest.raises(MeshError, match=reason):
        load_off(text)


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "glb", "off"])
def test_other_formats_and_scenes(tmp_path, suffix):
    box = trimesh.creation.box((1, 2, 3))
    path = tmp_path / f"box.{suffix.upper()}"
    box.export(path, file_type=suffix)
    mesh = load_mesh(path)
    np.testing.assert_allclose((mesh.volume, mesh.area), (6, 22), rtol=1e-6)
    assert mesh.vertices.shape == (8, 3), "equal vertices are merged"
    if suffix == "glb":
        scene = trimesh.Scene([box, box.copy().apply_translation((5, 0, 0))])
        mesh = load_mesh((io.BytesIO(scene.export(file_type="glb")), ".glb"))
        np.testing.assert_allclose((mesh.volume, np.ptp(mesh.vertices[:, 0])), (12, 6), rtol=1e-6)


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "glb"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01 no mesh", b"solid", None], ids=repr)
def test_bad_files_of_other_formats(suffix, content):
    if content is None:
        content = trimesh.creation.box().export(file_type=suffix)
        content = (content.encode() if isinstance(content, str) else content)[
            : 60 if suffix == "obj" else -60
        ]
    with pytest.raises(MeshError):
        load_mesh((io.BytesIO(content), suffix))


def test_point_cloud_is_no_mesh():
    cloud = trimesh.PointCloud(np.eye(3)).export(file_type="ply")
    with pytest.raises(MeshError):
        load_mesh((io.BytesIO(cloud), "ply"))


def test_paths(tmp_path):
    with pytest.raises(MeshError, match="unreadable: No such file"):
        load_mesh(tmp_path / "nothing.off")
    (tmp_path / "shape.xyz").write_text("0 0 0")
    with pytest.raises(MeshError, match=r"unknown mesh format '.xyz', known are \.off"):
        load_mesh(tmp_path / "shape.xyz")
    with pytest.raises(MeshError, match="unreadable"):
        load_mesh(tmp_path)


def test_what_has_no_area_does_not_count():
    """A vertex without a face and a face without area leave the bounding box alone."""
    stray = cube_off("OFF\n11 8 0").replace("4 0 3 2 1", "90 0 0\n0 90 0\n0 91 0\n4 0 3 2 1")
    mesh = load_off(stray + "3 8 8 8\n3 0 9 9\n")
    assert mesh.vertices.shape == (8, 3)
    assert mesh.bounds.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("unit", [1e-100, 1e-12, 1e9, 1e100])
def test_any_unit_of_length(unit):
    rows = [" ".join(f"{float(x) * unit!r}" for x in row.split()) for row in VERTICES]
    mesh = load_off("\n".join(["OFF", "8 6 0", *rows, *(f"4 {quad}" for quad in QUADS)]))
    assert (mesh.vertices.shape, mesh.faces.shape) == ((8, 3), (12, 3))
    assert normalize(mesh.vertices)[2] == pytest.approx(unit * 3**0.5 / 2)


def test_real_meshes_load(shared):
    with tarfile.open(shared / "data" / "shapes.tar.xz", "r|xz") as archive:
        count = 0
        for member in archive:
            if member.name.endswith(".off"):
                data = archive.extractfile(member).read()
                mesh, theirs = (
                    load_mesh((io.BytesIO(data), "off")),
                    trimesh.load_mesh(io.BytesIO(data), "off"),
                )
                assert mesh.area == pytest.approx(theirs.area, rel=1e-9)
                count += 1
            if count == 5:
                break
    assert count == 5


@pytest.mark.parametrize(("up", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_to_z_up_is_a_rotation_to_z(up, axis):
    turned = to_z_up(np.eye(3), up)
    assert turned[axis].tolist() == [0, 0, 1]
    assert np.linalg.det(turned) == 1
    np.testing.assert_array_equal(turned @ turned.T, np.eye(3))
    np.testing.assert_array_equal(to_z_up(np.eye(3)[None], up), turned[None])


def test_to_z_up_refuses_other_axes():
    with pytest.raises(ValueError, match="'x', 'y' or 'z', not '-y'"):
        to_z_up(np.eye(3), "-y")


coordinates = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3))
clouds = arrays(np.float64, st.tuples(st.integers(2, 20), st.just(3)), elements=coordinates)


@given(clouds.filter(lambda points: np.ptp(points, axis=0).max() > 0))
def test_normalize_centres_scales_and_repeats(points):
    unit, center, scale = normalize(points)
    np.testing.assert_allclose(unit.max(axis=0) + unit.min(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1).max(), 1, rtol=1e-12)
    np.testing.assert_allclose(unit * scale + center, points, rtol=1e-12, atol=1e-9)
    again, _, factor = normalize(unit)
    np.testing.assert_allclose(again, unit, atol=1e-9)
    assert factor == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("vertices", "reason"),
    [
        (np.zeros((0, 3)), "P > 0"),
        (np.zeros((4, 2)), r"not \(4, 2\)"),
        (np.ones((4, 3)), "a single point"),
        (np.array([[0, 0, np.nan], [1, 1, 1]]), "not finite"),
        (np.array([[0, 0, 1e300], [1, 1, 1]]), r"up to 1e\+300 are too large"),
    ],
)
def test_normalize_refuses(vertices, reason):
    with pytest.raises(MeshError, match=reason):
        normalize(vertices)

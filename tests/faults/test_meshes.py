"""Mesh files as tools write them and as they break: the right area, or a refusal that says why."""

import contextlib
import io
import json
import struct

import numpy as np
import pytest
from given import check_refused, given_file
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.apis.files import read_shape
from pointmcd.datasets.preparation.shape import PointSettings, prepare_points, sample_shape
from pointmcd.datasets.preparation.sources import Shape
from pointmcd.geometry import MeshError, load_mesh

CUBE = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]

AREAS = {
    6: """off_glued off_sameline off_header_count_same off_comments off_crlf_bom off_cr off_tabs
    off_UPPER_suffix off_two_counts off_dupverts off_degenerate off_coff off_off_rgba
    off_cnoff_plain off_STCNOFF off_facecolor
    off_facecolor_float off_lower off_oneline off_utm off_nan_unref obj_utm_dummy obj_vn obj_vt_vn obj_neg
    obj_vcolor obj_weight obj_groups obj_face2 obj_face_before_v obj_nonutf8 obj_latin_group obj_crlf_bom
    obj_tabs obj_cont_lf obj_cont_crlf obj_plain ply_ascii ply_ascii_crlf ply_ascii_quads ply_mixed ply_bin_le
    ply_bin_be ply_quads_bin ply_vertex_index ply_xyz_not_first ply_obj_info ply_texcoord ply_vlist
    ply_bin_double_extra ply_float64_names ply_mixed_bin ply_ascii_latin ply_ascii_extra_lines
    stl_ascii_latin_name stl_UPPER stl_ascii stl_ascii_crlf stl_ascii_upper stl_ascii_utf8_name stl_bin
    stl_bin_solid stl_color_header stl_header_ff stl_latin_header stl_multi_solid glb_plain glb_two_scenes
    glb_no_scene glb_missing_texture glb_with_lines glb_no_indices glb_negative_scale""",
    6e-4: "off_utm_small",
    6e-18: "off_tiny",
    6e24: "off_huge",
    3: "obj_concave_L ply_ngon ply_pent_mixed",
    30: "obj_U_solid glb_nodes_scaled",
    12: "glb_instanced off_nonplanar_dupface",
    1: "glb_strip",
    14: "glb_yup",
}
REFUSED = {
    "off_binary": "OFF BINARY is not supported",
    "off_truncated": "8 vertices and 6 faces promised, 12 lines follow",
    "off_index1": "vertices 0 to 7 exist, but the faces name 1 to 8",
    "off_nan": "not finite",
    "off_commadecimal": "line 4: '1,0' is not a number; decimals have a point",
    "off_nofaces": "8 vertices, 0 faces",
    "off_inf_unref": "damaged: a mesh of extent 1, and a vertex",
    "obj_floatidx": "line 9: 'f 1.0 2.0 4.0 3.0' does not name vertices by whole numbers",
    "obj_v2": "line 1: 'v 0 0' does not name three coordinates",
    "obj_utf16": "UTF-16",
    "obj_pointsonly": "8 vertices, 0 faces",
    "obj_truncated": "line 14: 'f 2 6' ends the file",
    "ply_ascii_truncated": "12 rows of face promised, 9 follow",
    "ply_truncated": "cut off: 12 rows of face promised",
    "ply_oob": "vertices 0 to 7 exist, but the faces name 0 to 99",
    "ply_tristrips": "element tristrips",
    "stl_ascii_truncated": "cut off",
    "stl_empty": "0 faces",
    "stl_nan": "not finite",
    "glb_draco": "KHR_draco_mesh_compression",
    "glb_draco_partly": "KHR_draco_mesh_compression",
    "glb_points": "0 faces",
    "gltf_text": "is not a supported file",
    "cl_off_nofaces": "a mesh is needed",
    "cl_obj_nofaces": "a mesh is needed",
}


@pytest.mark.parametrize(
    ("name", "area"), [(name, a) for a, names in AREAS.items() for name in names.split()]
)
def test_given_files_have_their_area(cases, name, area):
    # UTM coordinates have 9 digits before the point, which float64 follows with 7.
    assert read_shape(given_file(cases, name)).area == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=REFUSED)
def test_given_files_are_refused(cases, name, reason):
    check_refused(cases, name, reason)


def test_every_given_mesh_is_in_a_table(cases):
    known = {name for names in AREAS.values() for name in names.split()} | set(REFUSED)
    kinds = ("off_", "obj_", "ply_", "stl_", "glb_", "gltf_")
    assert {path.name for path in cases.iterdir() if path.name.startswith(kinds)} <= known


def test_given_layout_of_two_up_axes_has_one_pose(cases):
    settings = PointSettings(num_points=64)
    for name, tall in (("post", True), ("plate", False)):
        folder = cases / "lay_mixed_up" / "src" / name / "train"
        upright, blender = (
            sample_shape(Shape(mesh=read_shape(folder / file)), settings, "s")
            for file in ("z_up.off", "blender.glb")
        )
        np.testing.assert_allclose(
            np.unique(upright.mesh.vertices.round(5), axis=0),
            np.unique(blender.mesh.vertices.round(5), axis=0),
        )
        size = np.ptp(blender.mesh.vertices, axis=0)
        assert (size[2] > 2 * size[0]) == tall


# What follows is made here.


def read(text, kind):
    return load_mesh((io.BytesIO(text if isinstance(text, bytes) else text.encode()), kind))


def off(vertices, faces):
    rows = [" ".join(map(repr, map(float, v))) for v in vertices] + [
        f"{len(f)} {' '.join(map(str, f))}" for f in faces
    ]
    return f"OFF\n{len(vertices)} {len(faces)} 0\n" + "\n".join(rows) + "\n"


L_SHAPE = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("winding", [1, -1])
def test_concave_polygons_are_covered_once(first, axis, winding):
    """From whichever corner, in whichever plane and sense: area 3, and all normals follow the winding."""
    corners = np.roll(L_SHAPE, -first, axis=0)[::winding]
    flat = np.insert(corners.astype(float), axis, 5e6, axis=1)
    mesh = read(off(flat, [range(6)]), "off")
    assert mesh.area == pytest.approx(3, rel=1e-9)
    assert len(mesh.faces) == 4
    assert mesh.face_attributes["polygon"].tolist() == [0] * 4
    # np.insert keeps the order of the other axes; in x and z they turn to the right with the axis left out.
    np.testing.assert_allclose(mesh.face_normals[:, axis], winding * (-1 if axis == 1 else 1), atol=1e-9)
    inside = mesh.triangles_center - flat.min(0)
    assert not (np.delete(inside, axis, axis=1) > 1).all(axis=1).any()


@given(st.integers(3, 12), st.integers(0, 10_000))
def test_stars_have_the_area_of_their_outline(corners, seed):
    """Star-shaped polygons, most of them concave, against the shoelace formula."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi / corners, corners) + 2 * np.pi / corners * np.arange(corners))
    radii = rng.uniform(0.1, 1, corners)
    x, y = radii * np.cos(angles), radii * np.sin(angles)
    outline = 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
    if np.diff(np.append(angles, angles[0] + 2 * np.pi)).max() >= np.pi:
        return  # the centre is outside, and edges may cross
    mesh = read(off(np.column_stack([x, y, 2 * x - y]), [range(corners)]), "off")
    assert mesh.area == pytest.approx(outline * 6**0.5, rel=1e-9)


def test_convex_polygons_keep_their_fans():
    """What was prepared before has these triangles in this order."""
    mesh = read(off([*CUBE], [*QUADS[:2], (0, 1, 3)]), "off")
    first = np.array(CUBE)[[(0, 1, 3), (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5)]]
    np.testing.assert_array_equal(mesh.triangles, first)
    assert mesh.face_attributes["polygon"].tolist() == [2, 0, 0, 1, 1]


def test_unused_vertices_do_not_count():
    far = [(5e6 + x, 6e6 + y, z) for x, y, z in CUBE]
    for stray in [(0, 0, 0), (np.nan, 0, 0), (-1e9, 0, 0)]:
        mesh = read(off([*far, stray], QUADS), "off")
        assert mesh.area == pytest.approx(6)
        assert np.ptp(mesh.vertices, axis=0).tolist() == [1, 1, 1]
        # Nor those of faces without area.
        if np.isfinite(stray).all():
            assert read(off([*far, stray], [*QUADS, (8, 8, 8)]), "off").area == pytest.approx(6)


OBJ = "".join(f"v {x} {y} {z}\n" for x, y, z in CUBE) + "".join(
    f"f {a + 1} {b + 1} {c + 1} {d + 1}\n" for a, b, c, d in QUADS
)
PLY = "ply\nformat {} 1.0\nelement vertex 8\nproperty float x\nproperty float y\nproperty float z\n"
PLY += "element face {}\nproperty list uchar int vertex_indices\nend_header\n"
PLY_TEXT = PLY.format("ascii", 6) + off(CUBE, QUADS).partition("0\n")[2]
MIXED = [QUADS[0], *((q[0], q[k], q[k + 1]) for q in QUADS[1:] for k in (1, 2))]
PLY_MIXED = {
    order: PLY.format(f"binary_{name}_endian", len(MIXED)).encode()
    + struct.pack(f"{order}24f", *np.ravel(CUBE))
    + b"".join(struct.pack(f"{order}B{len(face)}i", len(face), *face) for face in MIXED)
    for order, name in {"<": "little", ">": "big"}.items()
}
STL = b"\0" * 80 + struct.pack("<I", 1) + struct.pack("<12fH", *[0] * 6, 1, 0, 0, 0, 1, 0, 0)
STL_TEXT = (
    "solid W\xfcrfel\nfacet normal 0 0 0\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\n"
)
STL_TEXT = (STL_TEXT + "endfacet\nendsolid W\xfcrfel\n").encode("latin-1")


@pytest.mark.parametrize(
    ("kind", "data", "area"),
    [
        ("off", off(CUBE, QUADS).replace("OFF", "off"), 6),
        ("off", off(CUBE, QUADS).replace("\n", " "), 6),
        ("off", off(CUBE, QUADS).encode() + b"# W\xfcrfel", 6),
        ("obj", OBJ.replace(" 4 ", " \\\n4 ").replace("\n", "\r\n"), 6),
        ("obj", b"# W\xfcrfel\n" + OBJ.encode(), 6),
        ("ply", PLY_TEXT, 6),
        ("ply", PLY_TEXT.encode().replace(b"ascii 1.0", b"ascii 1.0\ncomment W\xfcrfel"), 6),
        ("ply", PLY_MIXED["<"], 6),
        ("ply", PLY_MIXED[">"], 6),
        ("stl", STL, 0.5),
        ("stl", b"solid" + STL[5:], 0.5),
        ("stl", STL_TEXT, 0.5),
        ("stl", STL_TEXT.upper(), 0.5),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) == 3 else "",
)
def test_forms_that_tools_write(kind, data, area):
    assert read(data, kind).area == pytest.approx(area)


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("off", "OFF BINARY\n\0\0\0\x08", "OFF BINARY is not supported"),
        ("off", "nOFF\n4\n8 6 0\n", "nOFF is not supported"),
        ("off", off(CUBE, QUADS).replace("1.0", "1,0", 1), "line 4: '1,0' is not a number"),
        ("off", off(CUBE, QUADS).replace("4 0 1 3 2", "4 0 1.5 3 2"), "1.5 is not a whole number"),
        ("off", off(CUBE, QUADS).replace("4 0 1 3 2", "5 0 1 3 2"), "line 11: a face has fewer"),
        ("off", off(CUBE, QUADS)[:-20], "8 vertices and 6 faces promised"),
        ("off", off(CUBE, QUADS).encode("utf-16"), "UTF-16"),
        ("off", off([*CUBE, (1e30, 0, 0)], QUADS), "damaged"),
        ("obj", OBJ.replace("f 1 2 4 3", "f 0 2 4 3"), "line 9: 'f 0 2 4 3'"),
        ("obj", OBJ.encode("utf-16"), "UTF-16"),
        ("obj", OBJ.encode("utf-16-le"), "zero bytes"),
        ("ply", PLY_TEXT[:-20], "6 rows of face promised, 4 follow"),
        ("ply", PLY_TEXT[:-2], "line 23: the row of face has too few numbers"),
        ("ply", PLY_MIXED["<"][:-1], "11 rows of face promised"),
        ("ply", PLY_MIXED["<"].replace(b"vertex 8", b"vertex 9999999"), "9999999 rows of vertex promised"),
        ("ply", PLY_TEXT.replace("element face", "element tristrips"), "element tristrips"),
        ("ply", PLY_TEXT.replace("float y", "floot y"), "floot"),
        ("ply", PLY_TEXT.replace("float y", "float v"), "no element vertex with x, y and z"),
        ("stl", STL[:-1], "1 triangles has 134 bytes, this file has 133"),
        ("stl", STL + b"0", "1 triangles has 134 bytes, this file has 135"),
        ("stl", STL_TEXT[:-60], "cut off"),
        ("stl", STL_TEXT.replace(b"1 0 0", b"1 0"), "vertex '1 0' does not have three coordinates"),
    ],
)
def test_broken_files_say_why(kind, data, reason):
    with pytest.raises(MeshError, match=reason):
        read(data, kind)


def glb(header, binary=b""):
    text = json.dumps(
        {"asset": {"version": "2.0"}, "buffers": [{"byteLength": len(binary)}]} | header
    ).encode()
    text += b" " * (-len(text) % 4)
    body = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def square(**primitive):
    """A unit square, z = 0, of four corners in the order of a strip."""
    binary = struct.pack("<12f", 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0) + struct.pack("<4H", 0, 1, 3, 2)
    return {
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 5, **primitive}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 4, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 8},
        ],
    }, binary


def test_glb_is_turned_up_in_the_student_and_the_preparation_alike():
    """A wall stands: its height is y in the file and z where points are prepared, whatever else is said."""
    header, binary = square()
    header["nodes"][0]["scale"] = [1, 3, 1]
    mesh = read(glb(header, binary), "glb")
    assert mesh.area == pytest.approx(3)
    for up in "xyz":
        size = np.ptp(prepare_points(mesh, PointSettings(num_points=256, up=up)), axis=0)
        np.testing.assert_allclose(size / size[2], [1 / 3, 0, 1], atol=0.05)


def test_glb_of_every_form():
    header, binary = square(mode=6, indices=1)
    assert read(glb(header, binary), "glb").area == pytest.approx(1)
    # A quarter turn about z, then a move; the child scales.
    header["nodes"] = [
        {"children": [1], "rotation": [0, 0, 0.5**0.5, 0.5**0.5], "translation": [0, 0, 7]},
        {"mesh": 0, "scale": [2, 5, 1]},
    ]
    np.testing.assert_allclose(read(glb(header, binary), "glb").bounds, [[-5, 0, 7], [0, 2, 7]], atol=1e-6)
    # Quantised: shorts that stand for -1 to 1.
    header, binary = square()
    binary = (np.frombuffer(binary[:48], "<f4") * 32767).astype("<i2").tobytes() + binary[24:]
    header["accessors"][0] |= {"componentType": 5122, "normalized": True}
    header["extensionsRequired"] = ["KHR_mesh_quantization", "KHR_materials_unlit"]
    assert read(glb(header, binary), "glb").area == pytest.approx(1)
    # Sparse: the fourth corner is moved out to (3, 3, 0).
    header, binary = square()
    header["bufferViews"] += [{"buffer": 0, "byteOffset": 56, "byteLength": 13}]
    header["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": 2, "byteOffset": 12, "componentType": 5121},
        "values": {"bufferView": 2},
    }
    assert read(glb(header, binary + struct.pack("<3fB", 3, 3, 0, 3)), "glb").bounds[1].tolist() == [3, 3, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"extensionsRequired": ["EXT_meshopt_compression"]}, "EXT_meshopt_compression"),
        ({"extensionsRequired": ["VENDOR_future"]}, "VENDOR_future"),
        ({"extensionsUsed": ["EXT_mesh_gpu_instancing"]}, "EXT_mesh_gpu_instancing"),
        ({"accessors": [{"componentType": 5126, "count": 4, "type": "VEC3"}]}, "has no data"),
        ({"buffers": [{"byteLength": 9, "uri": "other.bin"}]}, "lies in another file"),
        ({"nodes": [{"children": [0]}]}, "are not a tree"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 4800}]}, "ends beyond the 56 bytes"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 40}]}, "shorter than its accessor promises"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 48, "byteStride": 0}]}, "a stride of 0 bytes"),
        ({"scenes": [{"nodes": [4]}]}, "unreadable GLB"),
        ({"scenes": 4}, "unreadable GLB"),
    ],
)
def test_broken_glb_says_why(change, reason):
    header, binary = square()
    with pytest.raises(MeshError, match=reason):
        read(glb(header | change, binary), "glb")


@pytest.mark.parametrize("kind", [5122, 5126], ids=["signed", "floats"])
def test_corners_of_glb_are_unsigned(kind):
    header, binary = square(indices=1)
    header["accessors"][1] |= {"componentType": kind, "count": 8 // np.dtype("hf"[kind == 5126]).itemsize}
    with pytest.raises(MeshError, match="not unsigned integers"):
        read(glb(header, binary), "glb")


def test_glb_repeats_its_meshes_within_bounds(monkeypatch):
    """A few kilobytes could ask for any amount of memory."""
    monkeypatch.setattr("pointmcd.geometry.formats.glb._MOST_FREE", 10_000)
    header, binary = square()
    header["nodes"] = [{"mesh": 0}] * 300
    header["scenes"] = [{"nodes": list(range(300))}]
    assert read(glb(header, binary), "glb").area == pytest.approx(300)
    header["meshes"][0]["primitives"] *= 1000
    with pytest.raises(MeshError, match="repeats its meshes to more than 10000 vertices"):
        read(glb(header, binary), "glb")


@pytest.mark.parametrize("kind", ["off", "obj", "ply", "stl", "glb"])
def test_damage_is_a_mesh_error_or_a_mesh(kind):
    """Cut off anywhere, and with any one byte another, nothing else comes of a file."""
    whole = {"off": off(CUBE, QUADS), "obj": OBJ, "ply": PLY_MIXED["<"], "stl": STL, "glb": glb(*square())}[
        kind
    ]
    whole = whole if isinstance(whole, bytes) else whole.encode()
    rng = np.random.default_rng(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in rng.integers(0, len(whole), 150):
        changed = bytearray(whole)
        changed[place] = rng.integers(256)
        damaged.append(bytes(changed))
    made = 0
    for data in damaged:
        with contextlib.suppress(MeshError):
            made += np.isfinite(read(data, kind).vertices).all()
    assert 0 < made < len(damaged)

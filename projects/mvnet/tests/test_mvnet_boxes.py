"""The form of boxes: overlaps against counted cells, hulls against turned corners, files read back."""

import contextlib

import numpy as np
import pytest

from projects.mvnet.mvnet.boxes import SceneBoxes, box_around, box_iou, read_boxes, write_boxes


def test_iou_is_that_of_counted_cells():
    draw = np.random.default_rng(0)
    corner, side = draw.integers(0, 6, (2, 8, 3)), draw.integers(1, 6, (2, 8, 3))
    first, second = (np.hstack([corner[i] + side[i] / 2, side[i]]) for i in range(2))
    cells = np.stack(np.meshgrid(*[np.arange(12) + 0.5] * 3, indexing="ij"), -1).reshape(-1, 3)

    def filled(box):
        return (np.abs(cells - box[:3]) < box[3:] / 2).all(axis=1)

    truth = [[(filled(a) & filled(b)).sum() / (filled(a) | filled(b)).sum() for b in second] for a in first]
    found = box_iou(first.astype(np.float32), second.astype(np.float32))
    np.testing.assert_allclose(found, truth, atol=1e-12)
    assert (found > 0).any()
    assert (found == 0).any()
    np.testing.assert_allclose(np.diag(box_iou(first, first)), 1)
    flat = np.array([[0, 0, 0, 1, 1, 0.0]])
    assert box_iou(flat, flat) == 0
    assert box_iou(np.zeros((0, 6)), second).shape == (0, 8)


def test_the_hull_of_a_turned_box_is_that_of_its_corners():
    draw = np.random.default_rng(1)
    boxes = np.hstack([draw.normal(size=(5, 3)), draw.uniform(0.2, 2, (5, 3))]).astype(np.float32)
    headings = draw.uniform(-4, 4, 5).astype(np.float32)
    scene = SceneBoxes(boxes, np.arange(5), headings)
    signs = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for box, heading, hull in zip(boxes, headings, scene.aligned().boxes, strict=True):
        cos, sin = np.cos(heading), np.sin(heading)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        corners = (signs * box[3:]) @ turn.T + box[:3]
        np.testing.assert_allclose(hull, box_around(corners), atol=1e-6)
    plain = SceneBoxes(boxes, np.arange(5))
    assert plain.aligned() is plain


def test_files_are_read_back_and_refused_by_name(tmp_path):
    boxes = np.arange(12, dtype=np.float32).reshape(2, 6)
    for headings in (None, np.array([0.5, -1], np.float32)):
        write_boxes(tmp_path / "scene.npz", SceneBoxes(boxes, np.array([3, 1]), headings))
        again = read_boxes(tmp_path / "scene.npz")
        assert np.array_equal(again.boxes, boxes)
        assert again.classes.tolist() == [3, 1]
        assert again.headings is None if headings is None else np.array_equal(again.headings, headings)
    write_boxes(tmp_path / "none.npz", SceneBoxes(np.zeros((0, 6)), np.zeros(0)))
    assert read_boxes(tmp_path / "none.npz").classes.dtype == np.int64
    for wrong, reason in (
        (SceneBoxes(boxes, np.zeros(3)), "do not fit"),
        (SceneBoxes(-boxes, np.zeros(2)), "size is below 0"),
        (SceneBoxes(boxes, np.zeros(2), np.zeros(1)), r"\(1,\) headings for 2 boxes"),
    ):
        write_boxes(tmp_path / "wrong.npz", wrong)
        with pytest.raises(ValueError, match=reason):
            read_boxes(tmp_path / "wrong.npz")
    np.savez(tmp_path / "other.npz", points=boxes)
    with pytest.raises(ValueError, match="holds points; boxes and classes are needed"):
        read_boxes(tmp_path / "other.npz")


def test_damage_is_named(tmp_path):
    path = tmp_path / "boxes.npz"
    write_boxes(path, SceneBoxes(np.ones((2, 6), np.float32), np.zeros(2)))
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"boxes\.npz is damaged, or no \.npz of arrays"):
            read_boxes(path)
    for place in range(30, len(whole), 41):  # a byte of the content or of the table of contents
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(ValueError):  # and nothing else; some bytes say when it was written
            assert read_boxes(path).boxes.shape == (2, 6)
    with open(path, "wb") as file:
        np.save(file, np.ones((2, 6)))
    with pytest.raises(ValueError, match="is damaged, or no"):
        read_boxes(path)
    np.savez(path, boxes=np.array(1), classes=np.array(2))
    with pytest.raises(ValueError, match="do not fit"):
        read_boxes(path)
    with pytest.raises(FileNotFoundError):
        read_boxes(tmp_path / "absent.npz")


def test_only_arrays_are_written(tmp_path, monkeypatch):
    """Before 2.1 numpy's savez stores whatever else it is given, as an array of that name."""
    given = []
    monkeypatch.setattr(np, "savez", lambda file, **arrays: given.append(set(arrays)))
    write_boxes(tmp_path / "boxes.npz", SceneBoxes(np.ones((2, 6), np.float32), np.zeros(2)))
    assert given == [{"boxes", "classes"}]

"""Several prepared sets in one loader."""

import json
import shutil

import numpy as np
import pytest
import torch

from pointmcd.datasets.joined_shapes import JoinedShapes
from pointmcd.datasets.label_choice import labelled_rows, labels_record
from pointmcd.datasets.prepared_set import PreparedSet, manifest_digest
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.engine import load_config
from pointmcd.registry import DATA_SAMPLERS, DATASETS

OPTIONS = {"num_points": 8, "label_fraction": 0.34, "unlabelled": "rest", "teacher": "own"}


def teach(root, record, value, channels=2, **said):
    with TeacherCacheWriter(root, "own") as writer:
        for split in writer.prepared.splits:
            rows = torch.arange(len(writer.prepared.split(split))).float()[:, None] + value
            outputs = {"logits": rows.expand(-1, 4), "view_descriptors": torch.zeros(len(rows), 4, channels)}
            writer.write_split(split, [outputs])
        writer.finish({"accuracy": {}, "labels": record, **said})


@pytest.fixture
def roots(tiny_set, parts_set, tmp_path):
    """A set with labels, and one of 12 other shapes; a teacher that has seen a third of the labels."""
    home, other = (shutil.copytree(one, tmp_path / name) for one, name in ((tiny_set, "a"), (parts_set, "b")))
    prepared = PreparedSet(home)
    rows = labelled_rows(np.asarray(prepared.split("train").labels), "train", 0.34)
    record = labels_record(prepared.digest, "train", rows, 0.34, 0)
    teach(home, record, 0)
    with TeacherCacheWriter(other, "own") as writer:
        for split in writer.prepared.splits:
            rows = torch.arange(len(writer.prepared.split(split))).float()[:, None] + 100
            said = {"logits": rows.expand(-1, 4), "view_descriptors": torch.zeros(len(rows), 5, 2)}
            writer.write_split(split, [said])
        writer.finish({"accuracy": {}, "labels": record})
    return home, other


@pytest.fixture
def same_views(tiny_set, tmp_path, roots):
    """The same with as many views: a copy of the first set stands for the other."""
    home = roots[0]
    other = shutil.copytree(tiny_set, tmp_path / "c")
    record = PreparedShapes(str(home), "train", **OPTIONS).labels_seen
    teach(other, {**record, "data_digest": "of another set"}, 100)
    teach(home, {**record, "data_digest": "of another set"}, 0)
    return str(home), str(other)


def test_a_batch_holds_the_shapes_of_both_in_order(same_views):
    home, other = same_views
    both = JoinedShapes(home, "train", [other], **OPTIONS)
    alone, beside = PreparedShapes(home, "train", **OPTIONS), PreparedShapes(other, "train", num_points=8)
    assert len(both) == len(both.names) == len(both.labels) == 48
    order = [30, 2, 47, 24, 0]
    batch = both.__getitems__(order)
    assert batch["index"].tolist() == order
    for place, index in enumerate(order):
        one = (alone if index < 24 else beside)[index % 24]
        assert torch.equal(batch["points"][place], one["points"][0])
        assert batch["teacher"]["logits"][place, 0] == (index if index < 24 else index - 24 + 100)
    assert (batch["label"][[0, 2, 3]] == -1).all()
    assert np.array_equal(both.labels[:24], alone.labels)
    assert both.labelled.sum() == alone.labelled.sum() == 8
    assert not both.labelled[24:].any()
    (again,) = torch.utils.data.DataLoader(both, 48, collate_fn=lambda batch: batch, num_workers=1)
    assert torch.equal(again["points"][order], batch["points"])


def test_a_further_set_makes_an_epoch_no_longer(same_views):
    both = JoinedShapes(same_views[0], "train", [same_views[1]], **OPTIONS)
    options = {"type": "LabelledShareSampler", "dataset": both, "share": 0.25}
    assert len(DATA_SAMPLERS.build(options)) == 24
    drawn = np.array(list(DATA_SAMPLERS.build({**options, "further_share": 0.5, "num_samples": 160})))
    rows = drawn.reshape(-1, 8)
    assert ((rows >= 24).sum(1) == 4).all()
    assert (both.labelled[rows].sum(1) >= 2).all()
    assert len(np.unique(drawn[drawn >= 24])) == 24
    assert len(np.unique(drawn[drawn < 24])) == 24
    with pytest.raises(ValueError, match=r"further_share is 0.9, must be 0 to 1 - share \(0.75\)"):
        DATA_SAMPLERS.build({**options, "further_share": 0.9})
    for share, further_share in ((0.8, 0.2), (0.9, 0.1), (0.0, 1.0)):
        whole = {**options, "share": share, "further_share": further_share, "num_samples": 40}
        drawn = np.array(list(DATA_SAMPLERS.build(whole)))
        assert (drawn >= 24).sum() == pytest.approx(40 * further_share, abs=1)
        assert both.labelled[drawn[drawn < 24]].all()
    alone = PreparedShapes(same_views[0], "train", **OPTIONS)
    with pytest.raises(ValueError, match="further_share needs further sets"):
        DATA_SAMPLERS.build({**options, "dataset": alone, "further_share": 0.5})


def test_teachers_that_do_not_belong_together_are_refused(roots, same_views):
    with pytest.raises(ValueError, match=r"has seen different labels .*cache-teacher"):
        JoinedShapes(same_views[0], "train", [str(roots[1])], **OPTIONS)
    record = PreparedShapes(same_views[0], "train", **OPTIONS).labels_seen
    teach(same_views[1], record, 0, channels=3)
    with pytest.raises(ValueError, match="give different outputs"):
        JoinedShapes(same_views[0], "train", [same_views[1]], **OPTIONS)


def test_caches_of_two_teachers_are_refused(same_views):
    """They are told by what they say of themselves; older ones say less."""
    home, other = same_views
    record = PreparedShapes(home, "train", **OPTIONS).labels_seen
    said = {"fitted": "ab", "teacher": {"type": "FrozenTeacher"}, "probe": {"folds": []}}
    teach(home, record, 0, **said)
    for name, differs in (
        ("fitted", "was fitted otherwise than that of"),
        ("teacher", "is of other networks, or of other settings, than"),
        ("probe", "has another probe than"),
        ("class_names", "says other classes than"),
    ):
        teach(other, record, 0, **{**said, name: ["another"]})
        with pytest.raises(ValueError, match=f"{differs}.* write both at once: pointmcd cache-teacher"):
            JoinedShapes(home, "train", [other], **OPTIONS)
    teach(other, record, 0)
    assert len(JoinedShapes(home, "train", [other], **OPTIONS)) == 48


def test_with_parts_the_categories_are_the_same(parts_set, tmp_path):
    other = shutil.copytree(parts_set, tmp_path / "set")
    own = {"num_points": 8, "parts": True}
    both = JoinedShapes(str(parts_set), "train", [str(other)], **own)
    assert (both.labels >= 0).all()
    batch = both.__getitems__([3, 14])
    assert (batch["parts"][0] >= 0).all()
    assert (batch["parts"][1] == -1).all()
    manifest = json.loads((other / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    manifest["class_names"][0] = "stool"
    (other / "manifest.json").write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    with pytest.raises(ValueError, match="has different categories"):
        JoinedShapes(str(parts_set), "train", [str(other)], **own)


def test_by_a_config(same_views):
    home, other = same_views
    data = "train_dataloader.dataset"
    words = [f"data_root={home}", f"{data}.type=JoinedShapes", f"{data}.further={[other]}"]
    words += [f"{data}.label_fraction=0.34", f"{data}.teacher=own", f"{data}.num_points=8"]
    config = load_config("pointmcd_pointnet_meshes.py", words)
    assert len(DATASETS.build(config.train_dataloader.dataset)) == 48
    with pytest.raises(ValueError, match="label_fracton"):
        load_config("pointmcd_pointnet_meshes.py", [*words, f"{data}.label_fracton=0.34"])

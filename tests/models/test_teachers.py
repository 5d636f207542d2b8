"""The image teacher, what travels in its checkpoint, and its cache."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from pointmcd.checkpoint import load_weights
from pointmcd.datasets.teacher_cache import TeacherCache, TeacherCacheWriter
from pointmcd.models import CachedTeacher, MultiViewTeacher
from pointmcd.models.teachers import AutoencoderTeacher
from pointmcd.models.teachers.base import decode_settings
from pointmcd.models.teachers.normalization import NORMALIZATIONS
from pointmcd.models.teachers.trunks import import_timm

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def teacher(**options):
    torch.manual_seed(0)
    options = {"num_classes": 5, "trunk": "test_resnet", "channels": 24, **options}
    return MultiViewTeacher(**options).double().eval()


@pytest.fixture
def views():
    return torch.randint(
        0, 256, (3, 4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_says_what_it_should(views):
    model = teacher()
    said = model(views=views)
    assert {name: tuple(value.shape) for name, value in said.items()} == {
        "view_descriptors": (3, 4, 24),
        "descriptor": (3, 24),
        "logits": (3, 5),
        "view_logits": (3, 4, 5),
    }
    assert model.out_channels == 24
    assert (said["view_descriptors"] >= 0).all()
    classify = model.head.classifier
    assert classify.bias is None
    torch.testing.assert_close(said["view_logits"], classify(said["view_descriptors"]))
    torch.testing.assert_close(said["logits"], classify(model.head.embed(said["view_descriptors"].amax(1))))


def test_order_of_views_moves_descriptors_only(views):
    model, order = teacher(), [2, 0, 3, 1]
    said, moved = model(views=views), model(views=views[:, order])
    torch.testing.assert_close(moved["view_descriptors"], said["view_descriptors"][:, order])
    torch.testing.assert_close(moved["logits"], said["logits"])


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalization(name, views):
    """What reaches the trunk, from bytes and from floats in 0..1."""
    model, seen = teacher(normalization=name), []
    model.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(views=views)
    model(views=views.double() / 255)
    mean, std = (torch.tensor(value, dtype=torch.double).view(3, 1, 1) for value in NORMALIZATIONS[name])
    expected = ((views.double() / 255 - mean) / std).flatten(0, 1)
    torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(seen[1], expected)
    if name == "symmetric":
        torch.testing.assert_close(seen[0], (views.double() / 127.5 - 1).flatten(0, 1))


def test_loss_is_that_of_the_shape_and_of_each_view(views):
    model, label, eps = teacher(), torch.tensor([0, 4, 2]), 0.2
    losses, said = model(mode="loss", views=views, label=label), model(views=views)

    def smoothed(logits, target):
        wanted = torch.full((5,), eps / 4, dtype=torch.double)
        wanted[target] = 1 - eps
        return -(wanted * logits.log_softmax(-1)).sum()

    pairs = [(logits, y) for rows, y in zip(said["view_logits"], label, strict=True) for logits in rows]
    shape = sum(smoothed(logits, y) for logits, y in zip(said["logits"], label, strict=True)) / 3
    view = sum(smoothed(logits, y) for logits, y in pairs) / 12
    torch.testing.assert_close(losses, {"loss_task": shape, "loss_view": view})


def test_every_parameter_gets_a_gradient(views):
    model = teacher().train()
    sum(model(mode="loss", views=views, label=torch.tensor([0, 1, 2])).values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_predict(views):
    rows = teacher()(mode="predict", views=views, label=torch.tensor([0, 4, 2]), index=torch.arange(3))
    assert [(row["index"], row["label"]) for row in rows] == [(0, 0), (1, 4), (2, 2)]
    assert all(row["pred"] == row["scores"].argmax() for row in rows)


def test_describe_leaves_no_graph(views):
    assert not any(value.requires_grad for value in teacher().describe({"views": views}).values())


def test_checkpoint_carries_the_settings(tmp_path, views):
    model = teacher(normalization="imagenet")
    path = tmp_path / "teacher.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    again = teacher(normalization="imagenet", checkpoint=str(path))
    assert torch.equal(model(views=views)["logits"], again(views=views)["logits"])
    with pytest.raises(ValueError, match=r"normalization='imagenet'.*normalization='unit'"):
        teacher(checkpoint=str(path))
    with pytest.raises(ValueError, match=r"normalization='imagenet'.*normalization='unit'"):
        load_weights(teacher(), model.state_dict(), "it does not fit")
    with pytest.raises(ValueError, match=r"trunk='test_resnet'.*trunk='test_vit'"):
        teacher(normalization="imagenet", trunk="test_vit", checkpoint=str(path))


@pytest.mark.parametrize("trunk", ["test_resnet", "mobilenetv2_100"])
def test_timm_says_the_statistics(trunk, views):
    known = import_timm().get_pretrained_cfg(trunk)
    model, seen = teacher(normalization="timm", trunk=trunk), []
    assert (
        model.settings["normalization"] == {"test_resnet": "symmetric", "mobilenetv2_100": "imagenet"}[trunk]
    )
    model.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(views=views)
    mean, std = (torch.tensor(value, dtype=torch.double).view(3, 1, 1) for value in (known.mean, known.std))
    torch.testing.assert_close(seen[0], ((views.double() / 255 - mean) / std).flatten(0, 1))


@pytest.mark.parametrize("by", ["construction", "loading", "the runner"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_checkpoint_keeps_its_normalization_under_timm(name, by, tmp_path, views):
    model, path = teacher(normalization=name), tmp_path / "teacher.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    again = teacher(normalization="timm", checkpoint=str(path) if by == "construction" else None)
    if by == "loading":
        again.load_state_dict(model.state_dict())
    elif by == "the runner":
        load_weights(again, model.state_dict(), "it does not fit")
    assert again.settings == model.settings
    assert torch.equal(again.saved_settings, model.saved_settings)
    assert torch.equal(model(views=views)["logits"], again(views=views)["logits"])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("teacher_mobilenetv2_*.py")), ids=lambda path: path.stem)
def test_the_official_recipe_takes_images_as_they_are(path):
    model = Config.fromfile(path).model
    official = path.stem.endswith("_modelnet")
    expected = ("unit", 0) if official else ("timm", None)
    assert (model.normalization, model.get("input_size", 0)) == expected


def test_smaller_views_are_enlarged_to_the_size_that_timm_says(views):
    model, seen = teacher(trunk="test_resnet", input_size=None), []
    size = import_timm().get_pretrained_cfg("test_resnet").input_size[-1]
    assert model.settings["input_size"] == size > views.shape[-1]
    model.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[-1]))
    model(views=views)
    model(views=views.new_zeros(1, 2, 3, size + 8, size + 8))
    assert seen == [size, size + 8]
    with pytest.raises(ValueError, match="input_size is None, but VGG11Attention is not a network of timm's"):
        AutoencoderTeacher(image_size=32, input_size=None)


@pytest.mark.parametrize("by", ["construction", "loading"])
@pytest.mark.parametrize("size", [0, 40])
def test_a_checkpoint_keeps_its_input_size_where_the_config_leaves_it_to_timm(size, by, tmp_path, views):
    model, path = teacher(input_size=size), tmp_path / "teacher.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    assert ("input_size" in decode_settings(model.saved_settings)) == bool(size)  # as earlier versions
    again = teacher(input_size=None, checkpoint=str(path) if by == "construction" else None)
    if by == "loading":
        again.load_state_dict(model.state_dict())
    assert torch.equal(model(views=views)["logits"], again(views=views)["logits"])
    with pytest.raises(ValueError, match=rf"input_size={size}, but the config says input_size=48"):
        teacher(input_size=48, checkpoint=str(path))


def test_statistics_without_a_name_travel_as_numbers(views):
    """CLIP's networks have statistics of their own."""
    options = {"trunk_options": {"pretrained_cfg_overlay": {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}}}
    model = teacher(normalization="timm", **options)
    assert model.settings["normalization"] == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    again = teacher(normalization="timm", **options)
    again.load_state_dict(model.state_dict())
    assert torch.equal(model(views=views)["logits"], again(views=views)["logits"])
    with pytest.raises(ValueError, match=r"normalization=\[\[0.1, .*normalization='symmetric'"):
        teacher(normalization="timm").load_state_dict(model.state_dict())


def test_trunk_weights_from_a_file(tmp_path, shared):
    """The weights in their own padding, and not into another network."""
    weights = str(shared / "weights" / "mobilenetv2_100_imagenet.safetensors")
    options = {"checkpoint": weights, "normalization": "symmetric"}
    model = teacher(trunk="mobilenetv2_100", trunk_options={"pad_type": "same"}, **options)
    for name, value in load_file(weights).items():
        if not name.startswith("classifier"):
            assert torch.equal(model.trunk.state_dict()[name], value.double()), name
    with pytest.raises(ValueError, match=r"mobilenetv2_100_imagenet.safetensors do not fit this trunk"):
        teacher(checkpoint=weights)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"no model 'mobilnetv2_100'; did you mean .*mobilenetv2_100"):
        teacher(trunk="mobilnetv2_100")
    with pytest.raises(ValueError, match="normalization is 'zero'; choose unit, symmetric, imagenet, timm"):
        teacher(normalization="zero")
    with pytest.raises(ValueError, match="choose one"):
        teacher(pretrained=True, checkpoint="x.pth")
    with pytest.raises(ValueError, match="mode is 'train'"):
        teacher()(mode="train", views=torch.zeros(1, 1, 3, 32, 32))


@pytest.fixture
def root(tiny_set, tmp_path):
    return shutil.copytree(tiny_set, tmp_path / "set")


def rows_of(count, generator):
    return {
        "view_descriptors": torch.randn(count, 4, 24, generator=generator).relu(),
        "descriptor": torch.randn(count, 24, generator=generator).relu(),
        "logits": torch.randn(count, 4, generator=generator),
        "view_logits": torch.randn(count, 4, 4, generator=generator),
    }


def write(root, name="someone"):
    """Rows of both splits in uneven batches, as written."""
    writer, generator, said = TeacherCacheWriter(root, name), torch.Generator().manual_seed(0), {}
    for split, sizes in (("train", (10, 10, 4)), ("test", (12,))):
        batches = [rows_of(size, generator) for size in sizes]
        writer.write_split(split, iter(batches))
        said[split] = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
    accuracy = {"test": {"overall_accuracy": 50.0, "mean_class_accuracy": 40.0}}
    writer.finish({"accuracy": accuracy, "checkpoint_sha256": "0" * 64})
    return said


def test_cache_round_trip(root):
    said = write(root)
    wanted = np.array([20, 0, 3, 20])
    read = TeacherCache(root, "someone").split("train").rows(wanted)
    assert read.keys() == said["train"].keys()
    for name, value in read.items():
        assert value.dtype == torch.float32
        tolerance = 0 if name == "logits" else 2**-10  # float16
        torch.testing.assert_close(value, said["train"][name][wanted], rtol=tolerance, atol=0)


def test_cached_teacher(root):
    write(root)
    cached = CachedTeacher(str(root), "someone")
    assert cached.out_channels == 24
    assert cached.accuracy["test"]["overall_accuracy"] == 50.0
    assert list(cached.state_dict()) == []
    rows = {"view_descriptors": torch.zeros(1, 4, 24)}
    assert cached.describe({"teacher": rows}) is rows
    with pytest.raises(ValueError, match="no teacher rows"):
        cached.describe({"points": torch.zeros(1, 8, 3)})


def test_writing_again_replaces(root):
    write(root)
    (root / "teachers" / "someone" / "stale.npy").touch()
    write(root)
    assert not (root / "teachers" / "someone" / "stale.npy").exists()
    assert [path.name for path in (root / "teachers").iterdir()] == ["someone"]


def test_unfinished_cache_is_none(root):
    TeacherCacheWriter(root, "someone").write_split("test", iter([rows_of(12, None)]))
    with pytest.raises(FileNotFoundError, match=r"(?s)no finished .*pointmcd cache-teacher"):
        TeacherCache(root, "someone")
    write(root)  # an interrupted run does not stand in the way
    assert TeacherCache(root, "someone").meta["splits"] == ["train", "test"]


def test_cache_of_other_data_is_refused(root):
    write(root)
    path = root / "teachers" / "someone" / "meta.json"
    meta = json.loads(path.read_text())
    del meta["meta_sha256"]  # as of an earlier version
    digest, meta["data_digest"] = meta["data_digest"], "f" * 64
    path.write_text(json.dumps(meta))
    with pytest.raises(ValueError, match=rf"digest {'f' * 16}.*has {digest[:16]}"):
        TeacherCache(root, "someone")
    path.write_text(json.dumps(meta | {"format_version": 9}))
    with pytest.raises(ValueError, match="format 9"):
        TeacherCache(root, "someone")


def test_writer_refuses_wrong_rows(root):
    writer = TeacherCacheWriter(root, "someone")
    with pytest.raises(ValueError, match="no split 'val'"):
        writer.write_split("val", iter([]))
    with pytest.raises(ValueError, match="gave 11 rows for test, which has 12 shapes"):
        writer.write_split("test", iter([rows_of(11, None)]))
    bad = rows_of(12, None)
    bad["descriptor"][3, 3] = 1e6  # beyond float16
    with pytest.raises(ValueError, match="descriptor of test, rows 0 to 12, is not finite"):
        writer.write_split("test", iter([bad]))

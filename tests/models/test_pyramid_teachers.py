"""Autoencoder and part segmentation teachers: any trunk, losses, where weights come from."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from pointmcd.batch import TeacherRows
from pointmcd.checkpoint import read_state_dict
from pointmcd.models import AutoencoderTeacher, MultiViewTeacher, PartSegmentationTeacher
from pointmcd.models.teachers.trunks import build_pyramid, build_trunk, import_timm
from pointmcd.registry import MODELS

TRUNKS = {
    "vgg11_attention": ((128, 256, 512, 512), (2, 4, 8, 16)),
    "mobilenetv2_100": ((16, 24, 32, 96, 512), (2, 4, 8, 16, 32)),
    "test_resnet": ((32, 32, 48, 192, 512), (2, 4, 8, 16, 32)),
    "test_convnext": ((24, 32, 48, 512), (4, 8, 16, 32)),
    "test_mambaout": ((16, 32, 48, 512), (4, 8, 16, 32)),  # rows: channels last
    "test_vit": ((64, 64, 512), (16, 16, 16)),
}
SIDE, CLASSES, PARTS = 64, 3, 5


def teacher(kind, **options):
    torch.manual_seed(0)
    options = {"trunk": "test_resnet", **options}
    if kind is AutoencoderTeacher:
        return kind(image_size=SIDE, **options)
    return kind(num_classes=CLASSES, num_parts=PARTS, **options)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return {
        "views": torch.randint(0, 256, (2, 3, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator),
        "part_views": torch.randint(0, PARTS + 1, (2, 3, SIDE, SIDE), generator=generator),
        "label": torch.tensor([2, 0]),
    }


KINDS = pytest.mark.parametrize("kind", [AutoencoderTeacher, PartSegmentationTeacher])


@KINDS
@pytest.mark.parametrize("trunk", TRUNKS)
def test_any_trunk_describes_and_learns(kind, trunk, batch):
    model = teacher(kind, trunk=trunk)
    channels, strides = TRUNKS[trunk]
    assert (model.trunk.channels, model.trunk.strides) == (channels, strides)
    features = model(**batch)
    sizes = [tuple(level.shape[1:]) for level in features["levels"]]
    assert sizes == [(c, SIDE // s, SIDE // s) for c, s in zip(channels, strides, strict=True)]
    assert (features["view_descriptors"] >= 0).all()
    assert features["view_descriptors"].shape == (2, 3, model.out_channels) == (2, 3, 512)

    model.train()
    (loss,) = model(mode="loss", **batch).values()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), name


@KINDS
def test_rows_of_views(kind, batch):
    """Descriptors are averages of the coarsest level, and the shape's is their maximum."""
    model = teacher(kind, channels=24).double().eval()
    said, levels = model.describe(batch), model(**batch)["levels"]
    assert said.keys() == {"view_descriptors", "descriptor"} <= TeacherRows.__annotations__.keys()
    assert not any(value.requires_grad for value in said.values())
    averages = levels[-1].flatten(2).mean(2).view(2, 3, 24)
    torch.testing.assert_close(said["view_descriptors"], averages)
    torch.testing.assert_close(said["descriptor"], averages.max(1).values)
    alone = model.describe({"views": batch["views"][1:, 2:]})
    torch.testing.assert_close(alone["descriptor"][0], averages[1, 2])


@pytest.mark.parametrize("normalization", ["unit", "imagenet"])
def test_autoencoder_reconstructs_pixels(normalization, batch):
    """The error is that of pixels in 0..1, however the views are normalised for the trunk."""
    model = teacher(AutoencoderTeacher, normalization=normalization).double().eval()
    images = model.reconstruct(model(**batch))
    error = (images - batch["views"] / 255).abs()
    (loss,) = model(mode="loss", **batch).values()
    torch.testing.assert_close(loss, error.mean())
    rows = model(mode="predict", **batch)
    assert [row["reconstruction_l1"] for row in rows] == pytest.approx(error.mean((1, 2, 3, 4)).tolist())
    from_floats = model(mode="loss", views=batch["views"].double() / 255)
    torch.testing.assert_close(from_floats["loss_reconstruction"], loss)


def test_part_segmentation_is_cross_entropy_of_pixels(batch):
    model = teacher(PartSegmentationTeacher).double().eval()
    logits = model.part_logits(model(**batch), batch)
    assert logits.shape == (2, 3, PARTS + 1, SIDE, SIDE)
    chosen = logits.log_softmax(2).gather(2, batch["part_views"].unsqueeze(2))
    torch.testing.assert_close(model(mode="loss", **batch)["loss_parts"], -chosen.mean())
    for row, expected in zip(model(mode="predict", **batch), logits, strict=True):
        assert torch.equal(row["part_views"], expected.argmax(1))


def test_category_conditions_the_parts_but_not_the_descriptors(batch):
    model = teacher(PartSegmentationTeacher).double().eval()
    other = {**batch, "label": torch.tensor([2, 1])}
    first, second = (model.part_logits(model(**b), b) for b in (batch, other))
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1])
    assert torch.equal(model.describe(batch)["descriptor"], model.describe(other)["descriptor"])


@pytest.mark.parametrize(
    ("trunk", "options"), [("mobilenetv2_100", {"pad_type": "same"}), ("test_resnet", {}), ("test_vit", {})]
)
def test_weights_of_a_timm_network(trunk, options, tmp_path):
    """Each level is what the whole network computes there."""
    torch.manual_seed(1)
    whole = import_timm().create_model(trunk, num_classes=7, **options).eval()
    path = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), path)
    model = (
        teacher(AutoencoderTeacher, trunk=trunk, trunk_options=options, checkpoint=str(path)).double().eval()
    )
    whole.double()  # in float32 deep levels differ by rounding, how far depends on the processor
    images = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64)
    names = model.trunk.body.feature_info.module_name()
    seen = {}
    for name in names:
        module = whole.get_submodule(name)
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    whole(images)
    for name, level in zip(names, model.trunk.body(images), strict=True):
        expected = seen[name]
        if expected.ndim == 3:  # tokens of a transformer, the class token first
            expected = expected[:, 1:].transpose(1, 2).unflatten(2, level.shape[-2:])
        torch.testing.assert_close(level, expected)


def test_shared_weights_load(shared):
    path = shared / "weights" / "mobilenetv2_100_imagenet.safetensors"
    model = build_pyramid("mobilenetv2_100", 512, pad_type="same").double().eval()
    model.load_timm(read_state_dict(path), str(path))
    whole = build_trunk("mobilenetv2_100", pad_type="same").double().eval()
    whole.load_state_dict(
        {key: value for key, value in read_state_dict(path).items() if "classifier" not in key}
    )
    images = torch.rand(1, 3, 96, 96, dtype=torch.float64) * 2 - 1
    coarsest = whole.forward_intermediates(images, intermediates_only=True)[-1]
    torch.testing.assert_close(model.body(images)[-1], coarsest)


def test_vgg_takes_the_weights_of_torchvision():
    network = import_timm().create_model("vgg11_bn", features_only=True)  # names with underscores
    state = {key.replace("_", ".", 1): value for key, value in network.state_dict().items()}
    state["classifier.0.weight"] = torch.zeros(2, 2)
    model = build_pyramid("vgg11_attention", 512)
    model.load_timm(state, "torchvision")
    for key, value in model.features.state_dict().items():
        assert torch.equal(value, state[f"features.{key}"]), key
    del state["features.25.weight"]
    with pytest.raises(ValueError, match=r"(?s)of torchvision are not those of vgg11_bn: .*25\.weight"):
        model.load_timm(state, "torchvision")


def saved(model, tmp_path):
    path = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return str(path)


def test_parts_start_from_an_autoencoder(tmp_path, batch):
    autoencoder = teacher(AutoencoderTeacher, normalization="imagenet").eval()
    for buffer in autoencoder.trunk.buffers():
        buffer.add_(1)
    path = saved(autoencoder, tmp_path)
    model = teacher(PartSegmentationTeacher, normalization="imagenet", checkpoint=path).eval()
    assert torch.equal(model.describe(batch)["descriptor"], autoencoder.describe(batch)["descriptor"])
    with pytest.raises(ValueError, match=r"normalization='imagenet'.*normalization='unit'"):
        teacher(PartSegmentationTeacher, checkpoint=path)
    with pytest.raises(ValueError, match=r"trunk='test_resnet'.*trunk='test_vit'"):
        teacher(PartSegmentationTeacher, normalization="imagenet", trunk="test_vit", checkpoint=path)


def test_the_normalization_of_an_autoencoder_goes_on_in_the_parts(tmp_path, batch):
    autoencoder = teacher(AutoencoderTeacher, normalization="unit").eval()
    model = teacher(
        PartSegmentationTeacher, normalization="timm", checkpoint=saved(autoencoder, tmp_path)
    ).eval()
    assert torch.equal(model.describe(batch)["descriptor"], autoencoder.describe(batch)["descriptor"])
    assert teacher(AutoencoderTeacher, normalization="timm").settings["normalization"] == "symmetric"
    with pytest.raises(ValueError, match="VGG11Attention is not a network of timm's; choose unit"):
        teacher(AutoencoderTeacher, trunk="vgg11_attention", normalization="timm")


def test_own_checkpoint(tmp_path, batch):
    model = teacher(PartSegmentationTeacher).eval()
    with torch.no_grad():
        model.decoder.output.weight.add_(0.1)
    again = teacher(PartSegmentationTeacher, checkpoint=saved(model, tmp_path)).eval()
    assert torch.equal(model.part_logits(model(**batch), batch), again.part_logits(again(**batch), batch))


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(import_timm().create_model("test_resnet").state_dict(), path)
    with pytest.raises(ValueError, match=r"weights\.safetensors do not fit this trunk"):
        teacher(AutoencoderTeacher, trunk="mobilenetv2_100", checkpoint=str(path))
    with pytest.raises(ValueError, match=r"weights\.safetensors are not those of vgg11_bn"):
        teacher(AutoencoderTeacher, trunk="vgg11_attention", checkpoint=str(path))
    with pytest.raises(FileNotFoundError, match=r"no .*none\.pth to start from: train it first"):
        teacher(AutoencoderTeacher, checkpoint=str(tmp_path / "none.pth"))
    path = saved(MultiViewTeacher(num_classes=3, trunk="test_resnet", channels=24), tmp_path)
    with pytest.raises(ValueError, match=r"epoch_1\.pth does not fit this teacher"):
        teacher(AutoencoderTeacher, checkpoint=path)


def test_bad_arguments(batch):
    with pytest.raises(ValueError, match="views are 64x64 pixels, but image_size is 96"):
        AutoencoderTeacher(image_size=96, trunk="test_resnet")(mode="loss", **batch)
    with pytest.raises(ValueError, match="vgg11_attention has 512 channels and takes no options"):
        teacher(PartSegmentationTeacher, trunk="vgg11_attention", channels=256)
    with pytest.raises(ValueError, match=r"no model 'test_resnt'; did you mean .*test_resnet"):
        teacher(PartSegmentationTeacher, trunk="test_resnt")
    with pytest.raises(ValueError, match="mode is 'train'"):
        teacher(PartSegmentationTeacher)(mode="train", **batch)


def test_views_of_any_size():
    batch = {"views": torch.rand(2, 1, 3, 72, 72), "label": torch.tensor([1, 0])}
    rows = teacher(PartSegmentationTeacher).eval()(mode="predict", **batch)
    assert rows[0]["part_views"].shape == (1, 72, 72)
    autoencoder = AutoencoderTeacher(image_size=72, trunk="test_resnet").eval()
    assert autoencoder.reconstruct(autoencoder(**batch)).shape == batch["views"].shape


@KINDS
def test_online_teacher_is_frozen(kind, batch):
    """In ``PointMCD``: eval mode, no gradient, not in a checkpoint; the student learns from it."""
    own = {"image_size": SIDE} if kind is AutoencoderTeacher else {"num_classes": 3, "num_parts": PARTS}
    model = MODELS.build(
        {
            "type": "PointMCD",
            "backbone": {"type": "PointNet"},
            "head": {"type": "ClassificationHead", "num_classes": 3},
            "neck": {"type": "VAFP", "num_views": 3},
            "distill": [{"type": "ViewDistillationHead"}],
            "teacher": {"type": kind.__name__, "trunk": "test_resnet", "channels": 16, **own},
        }
    ).train()
    before = {key: value.clone() for key, value in model.teacher.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 64, 3, generator=generator) - 0.5
    visibility = torch.randint(0, 8, (2, 64), dtype=torch.int32, generator=generator)
    losses = model(mode="loss", points=points, visibility=visibility, **batch)
    sum(losses.values()).backward()
    said = model.teacher.describe(batch)["view_descriptors"]
    aligned = model.distill[0](model.training_features(points, visibility))
    assert float(losses["loss_view"]) == pytest.approx(float(F.l1_loss(aligned, said)), rel=1e-3)
    assert not any(module.training for module in model.teacher.modules())
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.teacher.state_dict().items())
    assert not any(key.startswith("teacher") for key in model.state_dict())

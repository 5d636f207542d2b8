"""The three networks, the drawing of pairs and the losses, against hand formulas in float64."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine import load_config
from pointmcd.registry import DATASETS, MODELS
from projects.cross_correspondence.cross_correspondence import CrossCorrespondence, RandomCropViews
from projects.cross_correspondence.cross_correspondence.model import draw_triplets

CONFIGS = sorted(Path(__file__).resolve().parents[1].glob("configs/cross_correspondence_*.py"))


def small_model(**options):
    torch.manual_seed(0)
    return CrossCorrespondence(
        backbone=dict(type="DGCNN", channels=(8, 8), k=4, out_channels=16),
        point_channels=12,
        verifier_channels=10,
        **{"view_encoder": dict(type="ViewEncoder", trunk="test_resnet", size=32), **options},
    )


def small_batch(size=6, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return {
        "points": torch.randn(size, 32, 3, generator=generator, dtype=dtype),
        "views": torch.rand(size, 2, 3, 32, 32, generator=generator, dtype=dtype),
    }


@given(st.integers(2, 40), st.integers(0, 2**31))
def test_negatives_are_of_another_object(size, seed):
    torch.manual_seed(seed)
    anchor, other, view = draw_triplets(size)
    assert (other != torch.arange(size)).all()
    assert ((other >= 0) & (other < size)).all()
    for drawn in (anchor, view):
        assert set(drawn.tolist()) <= {0, 1}
    torch.manual_seed(seed)
    assert all(torch.equal(a, b) for a, b in zip((anchor, other, view), draw_triplets(size), strict=True))


def test_every_other_object_and_view_is_as_likely():
    torch.manual_seed(0)
    size, draws = 4, 6000
    counts = torch.zeros(size, size, 2, 2)
    for _ in range(draws):
        anchor, other, view = draw_triplets(size)
        counts[torch.arange(size), other, view, anchor] += 1
    share = counts / draws
    assert (share.flatten(2).diagonal() == 0).all()
    # 12 outcomes of an object, each 1 / 12; four standard deviations of a share are 0.0143.
    apart = ~torch.eye(size, dtype=torch.bool)
    torch.testing.assert_close(share[apart], torch.full((12, 2, 2), 1 / 12), atol=0.0143, rtol=0)


def test_a_batch_of_one_has_no_negative():
    with pytest.raises(ValueError, match="at least 2"):
        draw_triplets(1)


def test_two_different_views_are_loaded(tiny_set):
    dataset = PreparedShapes(tiny_set, "train", num_points=16, views=2)
    torch.manual_seed(0)
    index = torch.cat([dataset.__getitems__(range(24))["view_index"] for _ in range(20)])
    assert (index[:, 0] != index[:, 1]).all()
    assert set(map(tuple, index.tolist())) == {(a, b) for b in range(4) for a in range(b)}


def test_losses_are_the_formulas():
    model, batch = small_model(margin=1.5, beta=0.7).double().eval(), small_batch(dtype=torch.float64)
    torch.manual_seed(5)
    losses = model(mode="loss", **batch)
    torch.manual_seed(5)
    triplets = draw_triplets(6)

    feats, clouds = model.view_features(batch["views"]), model.point_features(batch["points"])
    triplet = cross = right = near = far = 0
    for row, (anchor, other, view) in enumerate(zip(*triplets, strict=True)):
        one, two, three = feats[row, anchor], feats[row, 1 - anchor], feats[other, view]
        # torch adds 1e-6 to every difference
        positive = (one - two + 1e-6).square().sum().sqrt()
        negative = (one - three + 1e-6).square().sum().sqrt()
        triplet += max(positive - negative + 1.5, 0) / 6
        near, far = near + positive / 6, far + negative / 6
        for image, same in ((one, 1), (two, 1), (three, 0)):
            logits = model.verifier(torch.cat([image, clouds[row]]))
            cross += (logits.exp().sum().log() - logits[same]) / 6
            right += (logits.argmax() == same) / 18
    torch.testing.assert_close(losses["loss_triplet"], triplet)
    torch.testing.assert_close(losses["loss_verification"], 0.7 * cross)
    torch.testing.assert_close(losses["accuracy"].double(), 100 * right.double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(losses["positive_distance"], near, atol=1e-5, rtol=0)
    torch.testing.assert_close(losses["negative_distance"], far, atol=1e-5, rtol=0)
    assert losses["loss_triplet"] > 0


def test_the_triplet_loss_reaches_the_image_network_alone():
    model = small_model(margin=100.0)
    model(mode="loss", **small_batch())["loss_triplet"].backward()
    reached = {
        name.partition(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
    assert reached == {"view_encoder"}


def test_a_frozen_trunk_stays_as_it_is():
    """Neither weights nor running statistics move; the layer behind it learns from both losses."""
    encoder = dict(type="ViewEncoder", trunk="test_resnet", size=32, channels=7, frozen=True)
    model, batch = small_model(view_encoder=encoder), small_batch()
    before = {key: value.clone() for key, value in model.view_encoder.trunk.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = model(mode="loss", **batch)
    (losses["loss_triplet"] + losses["loss_verification"]).backward()
    optimizer.step()
    after = model.view_encoder.trunk.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(parameter.grad.any() for parameter in model.view_encoder.embed.parameters())
    assert model.eval()(**batch)["view_feats"].shape == (6, 2, 7)
    with pytest.raises(ValueError, match="needs channels"):
        small_model(view_encoder={**encoder, "channels": None})


def test_each_network_gives_its_features_alone():
    model, batch = small_model().eval(), small_batch()
    both = model(**batch)
    assert both["point_feats"].shape == (6, 12)
    assert both["view_feats"].shape == (6, 2, 96)
    assert model(points=batch["points"]).keys() == {"point_feats"}
    assert model(views=batch["views"][:, :1])["view_feats"].shape == (6, 1, 96)


def test_wrong_numbers_of_views_and_modes_are_refused():
    model, batch = small_model(), small_batch()
    with pytest.raises(ValueError, match="views=2"):
        model(mode="loss", points=batch["points"], views=batch["views"][:, :1])
    with pytest.raises(ValueError, match="choose loss or tensor"):
        model(mode="predict", **batch)


def test_view_encoder_resizes_and_normalizes():
    encoder = small_model().view_encoder.eval()
    grey = torch.full((1, 3, 64, 64), 51, dtype=torch.uint8)
    expected = encoder.trunk(
        ((0.2 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225]))
        .view(1, 3, 1, 1)
        .expand(1, 3, 32, 32)
    )
    torch.testing.assert_close(encoder(grey), expected)
    with pytest.raises(ValueError, match="choose unit, symmetric, imagenet"):
        MODELS.build(dict(type="ViewEncoder", trunk="test_resnet", normalization="none"))


def test_crop_of_the_whole_view_resizes_it():
    views = torch.randint(256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    whole = RandomCropViews(size=16, smallest=1.0, flip=0.0)({"views": views})["views"]
    means = views.float().unflatten(-1, (16, 2)).unflatten(-3, (16, 2)).mean((-3, -1)) / 255
    torch.testing.assert_close(whole, means)
    mirrored = RandomCropViews(size=16, smallest=1.0, flip=1.0)({"views": views})["views"]
    torch.testing.assert_close(mirrored, means.flip(-1))


def test_crops_stay_inside_the_view_and_differ():
    ramp = torch.arange(64, dtype=torch.uint8).expand(4, 2, 3, 64, 64)
    torch.manual_seed(0)
    cut = 255 * RandomCropViews(size=32, smallest=0.5, flip=0.5)({"views": ramp})["views"]
    columns = cut[:, :, 0, 0]
    step = columns.diff(dim=-1)
    # The ramp rises by one a pixel: 64 pixels in 32 steps at most, half of them at least.
    torch.testing.assert_close(step, step[..., :1].expand_as(step), atol=1e-3, rtol=0)
    assert ((step.abs() > 0.99) & (step.abs() < 2.01)).all()
    assert columns.min() >= -1e-3
    assert columns.max() <= 63 + 1e-3
    assert len(columns[..., 0].unique()) == 8
    assert {1.0, -1.0} == set(step[..., 0].sign().flatten().tolist())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_do_one_step(path, tiny_set):
    transforms = "model.data_preprocessor.transforms"
    overrides = {
        "data_root": str(tiny_set),
        "train_dataloader.dataset.num_points": 128,
        f"{transforms}.0.num_points": 64,
        f"{transforms}.5.size": 32,
        "model.view_encoder.size": 32,
    }
    config = load_config(path, overrides)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = model.data_preprocessor(dataset.__getitems__(range(0, 24, 3)), True)
    assert batch["points"].shape == (8, 64, 3)
    assert batch["views"].shape == (8, 2, 3, 32, 32)
    losses, _ = model.parse_losses(model(mode="loss", **batch))
    losses.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), name

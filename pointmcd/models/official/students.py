"""Modules of the official students and ours."""

_TNET = {
    "conv1": "point_layers.0.linear",
    "bn1": "point_layers.0.norm",
    "conv2": "point_layers.1.linear",
    "bn2": "point_layers.1.norm",
    "conv3": "fusion.linear",
    "bn3": "fusion.norm",
    "fc1": "dense_layers.0.linear",
    "bn4": "dense_layers.0.norm",
    "fc2": "dense_layers.1.linear",
    "bn5": "dense_layers.1.norm",
    "fc3": "matrix",
}
_ALIGNMENT = {
    "mv_cdw_alignment.linear": "distill.0.align.linear",
    "mv_cdw_alignment.bn": "distill.0.align.norm",
}
_CLASSIFICATION = {
    "cdw_alignment.linear": "head.embed.linear",
    "cdw_alignment.bn": "head.embed.norm",
    "classifier": "head.classifier",
    **_ALIGNMENT,
}
_DECODER = ("head.first", "head.rest.1", "head.rest.3")  # between them dropout


def _convolutions(layers: dict[str, str]) -> dict[str, str]:
    """Return the layers of a 1x1 convolution and a batch norm."""
    return {
        **{f"{name}.conv": f"{ours}.linear" for name, ours in layers.items()},
        **{f"{name}.bn": f"{ours}.norm" for name, ours in layers.items()},
    }


def _pointnet() -> dict[str, str]:
    layers = {"1": "layer1", "2": "layer2", "3": "fusion"}
    return {
        **{f"encoder.encoder.stn.{name}": f"backbone.point_tnet.{ours}" for name, ours in _TNET.items()},
        **{f"encoder.encoder.fstn.{name}": f"backbone.feature_tnet.{ours}" for name, ours in _TNET.items()},
        **{f"encoder.encoder.conv{name}": f"backbone.{ours}.linear" for name, ours in layers.items()},
        **{f"encoder.encoder.bn{name}": f"backbone.{ours}.norm" for name, ours in layers.items()},
    }


def _pointnet_seg() -> dict[str, str]:
    decoder = {f"dec_mlp_{i}": ours for i, ours in enumerate(_DECODER, 1)}
    return {
        **_pointnet(),
        **_convolutions(decoder),
        "dec_mlp_4.conv": "head.classifier",
        **_ALIGNMENT,
    }


def _dgcnn() -> dict[str, str]:
    layers = {f"edge_conv_{i + 1}.smlp": f"backbone.edge_convs.{i}" for i in range(4)}
    return _convolutions(layers | {"ms_fusion": "backbone.fusion"})


def _dgcnn_seg() -> dict[str, str]:
    layers = {"encoder.econv_3.smlp": "backbone.edge_convs.2", "encoder.pw_embedding": "backbone.fusion"}
    for i in range(2):
        for j, ours in enumerate(("first", "last")):
            layers[f"encoder.econv_{i + 1}.smlp.{j}"] = f"backbone.edge_convs.{i}.{ours}"
    decoder = {f"encoder.seg_conv_{i}": ours for i, ours in enumerate(_DECODER, 1)}
    return {
        **_convolutions(layers | decoder),
        "encoder.class_lifting.linear": "head.lift.linear",
        "encoder.class_lifting.bn": "head.lift.norm",
        "encoder.seg_conv_4.conv": "head.classifier",
        **_ALIGNMENT,
    }


STUDENTS: dict[str, dict[str, str]] = {
    "PointNet classification student": _pointnet() | _CLASSIFICATION,
    "DGCNN classification student": _dgcnn() | _CLASSIFICATION,
    "PointNet part segmentation student": _pointnet_seg(),
    "DGCNN part segmentation student": _dgcnn_seg(),
}
"""For each official student the names of its modules and of those of ``PointMCD``."""

LAST_FIRST: dict[str, tuple[str, int]] = {
    "DGCNN part segmentation student": ("head.first.linear.weight", 192)
}
"""The weight whose last columns are our first, and how many: the official decoder reads what a cloud's points
share before what is each one's own.
"""

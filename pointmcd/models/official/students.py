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
_STUDENT = {
    "cdw_alignment.linear": "head.embed.linear",
    "cdw_alignment.bn": "head.embed.norm",
    "mv_cdw_alignment.linear": "distill.0.align.linear",
    "mv_cdw_alignment.bn": "distill.0.align.norm",
    "classifier": "head.classifier",
}


def _pointnet() -> dict[str, str]:
    layers = {"1": "layer1", "2": "layer2", "3": "fusion"}
    return {
        **{f"encoder.encoder.stn.{name}": f"backbone.point_tnet.{ours}" for name, ours in _TNET.items()},
        **{f"encoder.encoder.fstn.{name}": f"backbone.feature_tnet.{ours}" for name, ours in _TNET.items()},
        **{f"encoder.encoder.conv{name}": f"backbone.{ours}.linear" for name, ours in layers.items()},
        **{f"encoder.encoder.bn{name}": f"backbone.{ours}.norm" for name, ours in layers.items()},
        **_STUDENT,
    }


def _dgcnn() -> dict[str, str]:
    layers = {f"edge_conv_{i + 1}.smlp": f"edge_convs.{i}" for i in range(4)} | {"ms_fusion": "fusion"}
    return {
        **{f"{name}.conv": f"backbone.{ours}.linear" for name, ours in layers.items()},
        **{f"{name}.bn": f"backbone.{ours}.norm" for name, ours in layers.items()},
        **_STUDENT,
    }


STUDENTS: dict[str, dict[str, str]] = {
    "PointNet classification student": _pointnet(),
    "DGCNN classification student": _dgcnn(),
}
"""For each official student the names of its modules and of those of ``PointMCD``."""

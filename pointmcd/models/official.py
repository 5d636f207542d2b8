"""State dicts of PointMCD's official release (2025-11-18) in the names of this package.

Only names and layouts are translated. The official networks hold point-wise weights as 1x1 convolutions, and
PointNet's layers have biases that the batch norm after them cancels: such a bias moves into the running mean.
"""

from torch import Tensor

from pointmcd.models.teachers.multiview import encode_settings

State = dict[str, Tensor]
Names = dict[str, str]

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


def _pointnet() -> Names:
    layers = {"1": "layer1", "2": "layer2", "3": "fusion"}
    return {
        **{f"encoder.encoder.stn.{name}": f"backbone.point_tnet.{ours}" for name, ours in _TNET.items()},
        **{f"encoder.encoder.fstn.{name}": f"backbone.feature_tnet.{ours}" for name, ours in _TNET.items()},
        **{f"encoder.encoder.conv{name}": f"backbone.{ours}.linear" for name, ours in layers.items()},
        **{f"encoder.encoder.bn{name}": f"backbone.{ours}.norm" for name, ours in layers.items()},
        **_STUDENT,
    }


def _dgcnn() -> Names:
    layers = {f"edge_conv_{i + 1}.smlp": f"edge_convs.{i}" for i in range(4)} | {"ms_fusion": "fusion"}
    return {
        **{f"{name}.conv": f"backbone.{ours}.linear" for name, ours in layers.items()},
        **{f"{name}.bn": f"backbone.{ours}.norm" for name, ours in layers.items()},
        **_STUDENT,
    }


def _teacher() -> Names:
    """torchvision's MobileNetV2 is a flat list of blocks, timm's has them in stages."""
    names = {
        "cnn_backbone.0.0": "trunk.conv_stem",
        "cnn_backbone.0.1": "trunk.bn1",
        "cnn_backbone.18.0": "trunk.conv_head",
        "cnn_backbone.18.1": "trunk.bn2",
        "mv_cdw_embedding.conv": "view_embed.linear",
        "mv_cdw_embedding.bn": "view_embed.norm",
        "cdw_embedding.linear": "head.embed.linear",
        "cdw_embedding.bn": "head.embed.norm",
        "classifier": "head.classifier",
    }
    depthwise_first = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
    inverted = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl", "3": "bn3"}
    flat = [(stage, i) for stage, count in enumerate((1, 2, 3, 4, 3, 3, 1)) for i in range(count)]
    for number, (stage, i) in enumerate(flat, 1):
        for name, ours in (inverted if number > 1 else depthwise_first).items():
            names[f"cnn_backbone.{number}.conv.{name}"] = f"trunk.blocks.{stage}.{i}.{ours}"
    return names


NETWORKS: dict[str, Names] = {
    "PointNet classification student": _pointnet(),
    "DGCNN classification student": _dgcnn(),
    "MobileNetV2 classification teacher": _teacher(),
}
"""For each official network the names of its modules and of ours."""


def convert(state: State) -> tuple[str, State]:
    """Translate an official state dict.

    Args:
        state: Of ``PointNet_Cls_Distiller``, ``DGCNN_Cls_Distiller`` or ``Teacher_Cls``; keys may begin with
            ``module.``, as ``DataParallel`` saves them.

    Returns:
        The network (one of ``NETWORKS``) and a state dict that loads strictly: a student's into ``PointMCD``
        with a ``ClassificationHead`` and one ``ViewDistillationHead``, a teacher's into ``MultiViewTeacher``
        with its default arguments.

    Raises:
        ValueError: The keys are not those of one of ``NETWORKS``.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    modules = {key.rpartition(".")[0] for key in state}
    network = next((name for name, names in NETWORKS.items() if modules == names.keys()), None)
    if network is None:
        raise ValueError(
            f"not the weights of an official {', '.join(NETWORKS)}; the first keys are {list(state)[:4]}"
        )
    names = NETWORKS[network]
    converted = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        name = f"{names[module]}.{tensor}"
        converted[name] = value if name.startswith("trunk.") or value.ndim < 2 else value.flatten(1)
    for name in [name for name in converted if name.endswith(".linear.bias")]:
        mean = name.replace("linear.bias", "norm.running_mean")
        converted[mean] = converted[mean] - converted.pop(name)
    if "teacher" in network:
        settings = {"trunk": "mobilenetv2_100", "trunk_options": {}, "normalization": "unit"}
        converted["saved_settings"] = encode_settings(settings)
    return network, converted

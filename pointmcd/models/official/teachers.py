"""Modules of the official teachers and ours."""

from typing import Any


def _mobilenetv2() -> dict[str, str]:
    """Rename a flat list of blocks, as torchvision's MobileNetV2 has them, to timm's stages."""
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


def _encoder(prefix: str = "") -> dict[str, str]:
    """Rename VGG11 with attention; the official one cuts torchvision's layers into four stages of seven."""
    names = {}
    for stage, layers in enumerate(((0, 1, 4, 5), (1, 2, 4, 5), (1, 2, 4, 5), (1, 2, 4, 5))):
        for layer in layers:
            names[f"{prefix}conv_{stage + 1}.0.{layer}"] = f"trunk.features.{7 * stage + layer}"
    for stage in (1, 2):
        names[f"{prefix}conv_{stage}.1.conv.conv"] = f"trunk.attentions.{stage - 1}.conv"
    for stage in (3, 4):
        names[f"{prefix}conv_{stage}.1.fc.0.linear"] = f"trunk.attentions.{stage - 1}.squeeze"
        names[f"{prefix}conv_{stage}.1.fc.1.linear"] = f"trunk.attentions.{stage - 1}.excite"
    return names


def _layers(names: dict[str, str], weight: str) -> dict[str, str]:
    """Return the layers of a weight (``linear`` or ``conv``) and a batch norm."""
    return {
        f"{name}.{part}": f"decoder.{ours}.{own}"
        for name, ours in names.items()
        for part, own in ((weight, weight), ("bn", "norm"))
    }


def _autoencoder() -> dict[str, str]:
    return {
        **_encoder("cnn_backbone."),
        **_layers({"lifting": "lift"}, "linear"),
        **_layers({f"deconv_{i + 1}": f"convs.{i}" for i in range(4)}, "conv"),
        "output.conv": "decoder.output",
    }


def _part_segmentation() -> dict[str, str]:
    convs = {"dec_1": "bottom", "dec_2": "convs.0", "dec_3": "convs.1", "dec_4": "convs.2", "dec_5": "last"}
    return {
        **_encoder(),
        **_layers({"lift": "category", "fuse": "fuse"}, "linear"),
        **_layers(convs, "conv"),
        "output.conv": "decoder.output",
    }


TEACHERS: dict[str, dict[str, str]] = {
    "MobileNetV2 classification teacher": _mobilenetv2(),
    "VGG11 autoencoder teacher": _autoencoder(),
    "VGG11 part segmentation teacher": _part_segmentation(),
}
"""For each official teacher the names of its modules and of ours."""


def _settings(trunk: str) -> dict[str, Any]:
    return {"trunk": trunk, "trunk_options": {}, "normalization": "unit"}


SETTINGS: dict[str, dict[str, Any]] = {
    "MobileNetV2 classification teacher": _settings("mobilenetv2_100"),
    "VGG11 autoencoder teacher": _settings("vgg11_attention"),
    "VGG11 part segmentation teacher": _settings("vgg11_attention"),
}
"""What our checkpoint of each teacher says of the views it must be shown."""

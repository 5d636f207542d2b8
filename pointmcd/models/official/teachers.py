"""Modules of the official teachers and ours."""

from typing import Any


def _mobilenetv2() -> dict[str, str]:
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


TEACHERS: dict[str, dict[str, str]] = {"MobileNetV2 classification teacher": _mobilenetv2()}
"""For each official teacher the names of its modules and of ours."""

SETTINGS: dict[str, dict[str, Any]] = {
    "MobileNetV2 classification teacher": {
        "trunk": "mobilenetv2_100",
        "trunk_options": {},
        "normalization": "unit",
    }
}
"""What our checkpoint of each teacher says of the views it must be shown."""

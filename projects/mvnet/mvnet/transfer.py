"""What of a pre-trained backbone is handed on: its encoder alone, or its decoder too."""

from pathlib import Path
from typing import Any

import torch

from pointmcd.checkpoint import read_checkpoint
from pointmcd.engine.agreement import check_backbone
from pointmcd.engine.pretrained import PREFIX, load_backbone
from pointmcd.registry import MODELS

DECODERS = {"PointNet2Seg": "propagation.", "PointNet2SegMSG": "propagation.", "SRUNet": "decoder."}
"""How the names of a backbone's decoder begin. The others are encoders: their decoder is in the head."""


def take_backbone(
    config: dict[str, Any], checkpoint: Path, decoder: str = "keep", seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return the backbone of a checkpoint, for fine-tuning.

    Args:
        config: ``model.backbone`` of the pre-training.
        checkpoint: Of the pre-training.
        decoder: ``keep`` (encoder and decoder are handed on), ``restart`` (the decoder gets random weights)
            or ``drop`` (there is none, as in a backbone that is built without).
        seed: Of the random weights.

    Returns:
        A state dict with the names of a model's (``backbone.*``).

    Raises:
        ValueError: ``decoder`` is none of the three, the backbone has no decoder, or the checkpoint does not
            hold this backbone.
    """
    if decoder not in ("keep", "restart", "drop"):
        raise ValueError(f"decoder is {decoder!r}; choose keep, restart or drop")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = MODELS.build(config)
    prefix = DECODERS.get(config["type"])
    if decoder != "keep" and prefix is None:
        raise ValueError(
            f"{config['type']} has no decoder of its own: it is passed on unchanged (choose keep)"
        )
    fresh = {key: value.clone() for key, value in backbone.state_dict().items()}
    if checkpoint.suffix != ".safetensors":
        check_backbone(config, read_checkpoint(checkpoint), checkpoint)
    load_backbone(backbone, checkpoint)
    state = backbone.state_dict()
    if decoder != "keep":
        for key in [key for key in state if key.startswith(prefix)]:
            if decoder == "restart":
                state[key] = fresh[key]
            else:
                del state[key]
    return {PREFIX + key: value for key, value in state.items()}

"""Take the backbone of a checkpoint, and nothing else of it."""

from pathlib import Path

from torch import nn

from pointmcd.checkpoint import load_weights, read_state_dict

PREFIX = "backbone."


def load_backbone(backbone: nn.Module, checkpoint: str | Path) -> None:
    """Load the ``backbone.*`` of a checkpoint or of an exported student; what else is there is left alone.

    Args:
        backbone: What the weights are for.
        checkpoint: A file with a ``state_dict``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or a key is missing, unexpected or of another shape so that nothing
            was loaded.
    """
    state = read_state_dict(checkpoint)
    found = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    refusal = f"{checkpoint} does not hold the backbone of this config ({type(backbone).__name__})"
    load_weights(backbone, found, refusal)

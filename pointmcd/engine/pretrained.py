"""Take the backbone of a checkpoint, and nothing else of it."""

from pathlib import Path

from torch import nn

from pointmcd.checkpoint import read_state_dict

PREFIX = "backbone."


def load_backbone(backbone: nn.Module, checkpoint: str | Path) -> None:
    """Load the ``backbone.*`` of a checkpoint or of an exported student; what else is there is left alone.

    Args:
        backbone: What the weights are for.
        checkpoint: A file with a ``state_dict``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or a key is missing, unexpected or of another shape (all are listed), so
            that nothing was loaded.
    """
    state = read_state_dict(checkpoint)
    found = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    expected = backbone.state_dict()
    both = sorted(found.keys() & expected.keys())
    faults = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": [key for key in both if found[key].shape != expected[key].shape],
    }
    if any(faults.values()):
        lines = [f"{what}: {', '.join(keys)}" for what, keys in faults.items() if keys]
        raise ValueError(
            f"{checkpoint} holds no backbone of this config ({type(backbone).__name__}):\n" + "\n".join(lines)
        )
    backbone.load_state_dict(found)

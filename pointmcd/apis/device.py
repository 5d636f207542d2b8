"""Whether a device that somebody names is there."""

import torch


def check_device(device: str | torch.device) -> None:
    """Find out whether a device is there.

    Raises:
        ValueError: It is not, or has no such name.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device} cannot be used: {str(error).splitlines()[0]}") from None

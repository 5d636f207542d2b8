"""Several processes: one global batch, shared out over the ranks."""

import atexit
import contextlib
import gc
import os

import torch
import torch.distributed
from mmengine.config import Config


def world_size() -> int:
    """Return how many processes torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def distribute(config: Config) -> Config:
    """Prepare a complete config for the ranks that torchrun started; one process is left as it is.

    A config's batch sizes are global: each rank takes its share, a whole number where it trains. Without CUDA
    the process group is started here with gloo, since MMEngine would ask CUDA for a device.

    Raises:
        ValueError: The batch size of the training is not divisible by the number of ranks.
    """
    ranks = world_size()
    if ranks == 1:
        return config
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = config.get(name)
        if loader is None:
            continue
        if name != "train_dataloader":  # batches of an evaluation make no difference
            loader.batch_size = -(-loader.batch_size // ranks)
            continue
        if loader.batch_size % ranks:
            nearest = max(loader.batch_size // ranks, 1) * ranks
            raise ValueError(
                f"{name}.batch_size is {loader.batch_size}, the batch of all {ranks} processes together, and "
                f"is not divisible by {ranks}; give --cfg-options {name}.batch_size={nearest}"
            )
        loader.batch_size //= ranks
    config.launcher = "pytorch"
    # without a head, losses of points alone leave the last layer without gradients, which DDP must be told
    config.find_unused_parameters = config.model.get("head", {}) is None
    atexit.register(_leave)
    if not torch.cuda.is_available():
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        config.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "find_unused_parameters": config.find_unused_parameters,
        }
    return config


def _leave() -> None:
    """End the process groups, and so their threads, while the interpreter lives.

    A thread of gloo's that drops its last tensor later aborts the process. A group ends with the last that
    refers to it, which are models and hooks.
    """
    if torch.distributed.is_initialized():
        gc.collect()
        with contextlib.suppress(Exception):  # the other ranks may be gone
            torch.distributed.destroy_process_group()

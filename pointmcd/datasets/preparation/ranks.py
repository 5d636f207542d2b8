"""The processes that torchrun started, as the preparation needs them."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Ranks:
    """This process's rank and how many there are; 0 of 1 without torchrun."""

    rank: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls) -> "Ranks":
        """Join the group that torchrun describes, where it does."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not dist.is_initialized():
            # The others wait while the first unpacks, and it waits for the slowest.
            dist.init_process_group("gloo", timeout=timedelta(days=30))
        return cls(dist.get_rank(), world)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.world > 1:
            dist.barrier()

    def broadcast(self, flag: bool) -> bool:
        """Return what rank 0 passed, on every rank."""
        if self.world == 1:
            return flag
        told = torch.tensor(int(flag))
        dist.broadcast(told, 0)
        return bool(told)

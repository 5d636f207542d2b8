"""Workers of loaders that fail without a word from torch: an error, and never a wait without end."""

import os
import signal

import pytest
from torch.utils.data import Dataset

from pointmcd.commands.common import plain_errors
from pointmcd.engine.runner import Runner


class Shapes(Dataset):
    """Eight items; ``last`` makes the last one."""

    def __init__(self, last):
        self.last = last

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.last() if index == 7 else index


def made(last, **more):
    loader = {
        "dataset": Shapes(last),
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "batch_size": 2,
        "num_workers": 2,
        "timeout": 60,  # where the fault is back this ends the wait
        **more,
    }
    return Runner.build_dataloader(loader, seed=0)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_batch_that_cannot_be_handed_over_is_an_error(persistent):
    loader, seen = made(lambda: lambda: None, persistent_workers=persistent), []
    with pytest.raises(OSError, match=r"could not be handed over by a loader's worker.*num_workers=0"):
        seen.extend(loader)
    assert len(seen) == 3
    del loader


def test_a_worker_that_is_killed_is_one_message():
    loader = made(lambda: os.kill(os.getpid(), signal.SIGKILL))
    told = r"DataLoader worker \(pid.*fewer num_workers need less. Then try"
    with pytest.raises(SystemExit, match=told), plain_errors("try again"):
        list(loader)


def test_the_first_sigterm_is_for_the_parent():
    """As a launcher sends it to both; torch's workers would end, and the parent in the middle of a step."""
    loader = made(lambda: [os.kill(os.getpid(), signal.SIGTERM), os.getpid()][1], num_workers=1)
    assert len(list(loader)) == 4
    with pytest.raises(RuntimeError, match=r"DataLoader worker .*(Terminated|unexpectedly)"):
        list(made(lambda: [os.kill(os.getpid(), signal.SIGTERM) for _ in range(2)], num_workers=1))

"""MMEngine's loops, which here can also go on in the middle of an epoch."""

from collections.abc import Iterator
from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from pointmcd.engine.stopping import StopHere


class TrainLoop(EpochBasedTrainLoop):
    """Train epoch by epoch; the first one after a resume begins behind the batches that it has made already.

    Attributes:
        batches_made: Of the current epoch, before this process began.
    """

    batches_made = 0

    def run_epoch(self) -> None:
        """Run one epoch; batches that were made before are read too, so that those to come are the same."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        begin = self._iter - self.batches_made
        for number, batch in enumerate(self._batches(begin)):
            if number >= self.batches_made:
                self.run_iter(number, batch)
        self.batches_made = 0
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _batches(self, begin: int) -> Iterator[Any]:
        """Yield the batches of an epoch whose first one is iteration ``begin``."""
        batches = iter(self.dataloader)
        for number in range(len(self.dataloader)):
            if number:
                self.runner.call_hook("before_train_fetch", iteration=begin + number)
            try:
                batch = next(batches)
            except RuntimeError:  # the signal that ends a training may have reached the workers first
                if self.runner.stop_request.signal is None or self.runner.world_size > 1:
                    raise  # of several ranks all stop at one step, or none
                made = max(number, self.batches_made)
                raise StopHere(self.runner.stop_request.signal, made) from None
            yield batch

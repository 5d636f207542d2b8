"""How many views a second one process reads of a prepared set, and how many a training step needs.

Without a GPU, seconds are CPU seconds of one thread, which a busy machine does not lengthen; with one, they
are those of the clock. Files are in memory after the first batches.

    python -m projects.cross_correspondence.measure_reading \
        projects/cross_correspondence/configs/cross_correspondence_dgcnn_modelnet.py
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.device import get_device

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.engine import load_config
from pointmcd.registry import DATASETS, MODELS


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--repeat", type=int, default=5, help="batches and steps timed; the median counts (5)"
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    config = load_config(args.config, args.cfg_options)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    model = MODELS.build(config.model).to(get_device()).train()
    size = min(config.train_dataloader.batch_size, len(dataset))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    batch = dataset.__getitems__(range(size))

    def read() -> None:
        dataset.__getitems__(torch.randperm(len(dataset))[:size].tolist())

    def step() -> None:
        losses = model(mode="loss", **model.data_preprocessor(batch, True))
        optimizer.zero_grad()
        model.parse_losses(losses)[0].backward()
        optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    views = batch["views"].shape[0] * batch["views"].shape[1]
    read_s, step_s = (median_s(work, args.repeat) for work in (read, step))
    print(
        f"{dataset.prepared.num_views} views of {batch['views'].shape[-1]} px a shape, {views} read a step\n"
        f"reading: {1000 * read_s:.1f} ms a batch, {views / read_s:.0f} views/s in one process\n"
        f"step on {get_device()}: {1000 * step_s:.1f} ms, which takes {views / step_s:.0f} views/s"
    )


def median_s(work: Callable[[], None], repeat: int) -> float:
    """Return the seconds of one call, after one that warms up."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times = []
    for _ in range(repeat + 1):
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()

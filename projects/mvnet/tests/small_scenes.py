"""What tests of scenes share: objects as points, and options that make a network small."""

import numpy as np

OBJECTS = {  # name as people wrote it: NYU40 id, centre, size
    "floor": (2, (0, 0, 0), (4, 4, 0.02)),
    "office chair": (5, (1, 1, 0.4), (0.5, 0.5, 0.8)),
    "kitchen table": (7, (-1, 0.5, 0.5), (1.2, 0.6, 0.6)),
    "plant": (40, (1, -1, 0.5), (0.3, 0.3, 1)),  # other property: no class of the benchmark
}
SMALL = {
    "model.backbone.channels": [8, 8],
    "model.backbone.blocks": [1, 1],
    "model.backbone.decoder_channels": [8, 8],
    "model.backbone.decoder_blocks": [1, 1],
    "model.backbone.stem_channels": 8,
    "model.backbone.voxel_size": 0.1,
    "model.head.channels": [8],
    "train_dataloader.dataset.num_points": 128,
    "val_dataloader.dataset.num_points": 128,
    "test_dataloader.dataset.num_points": 128,
}


def options(root):
    flat = [f"{key}={str(value).replace(' ', '')}" for key, value in SMALL.items()]
    return ["--cfg-options", f"data_root={root}", *flat]


def things(seed=0):
    """Points on four boxes, evenly drawn in them: (P, 3), and whose they are (P,)."""
    draw = np.random.default_rng(seed)
    points, owner = [], []
    for number, (_, center, size) in enumerate(OBJECTS.values()):
        points.append(draw.uniform(-0.5, 0.5, (400, 3)) * size + center)
        owner.append(np.full(400, number))
    return np.concatenate(points).round(4), np.concatenate(owner)

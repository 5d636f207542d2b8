#!/usr/bin/env python
"""Parameters and speed of the classification backbones: CPU time of one thread, least of 3 rounds.

Floating-point operations are not in the table: torch's counter misses products inside fused operators.
"""

import time

import torch

from pointmcd.models import backbones

NAMES = ("PointNet", "DGCNN", "PointNet2", "PointNet2MSG", "PointNeXt", "PointTransformer", "CurveNet")
BATCH, POINTS, ROUNDS = 4, 1024, 3


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(BATCH, POINTS, 3), dim=-1)
    print("| backbone | parameters | training samples/s | inference samples/s |\n|---|---|---|---|")
    for name in NAMES:
        network = getattr(backbones, name)()
        count = sum(weight.numel() for weight in network.parameters())
        rates = [rate(network.train(training), points) for training in (True, False)]
        print(f"| {name} | {count / 1e6:.2f} M | {rates[0]:.1f} | {rates[1]:.1f} |", flush=True)


def rate(network: torch.nn.Module, points: torch.Tensor) -> float:
    """Clouds a second: forward, and backward in training mode."""
    least = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        with torch.set_grad_enabled(network.training):
            features = network(points)["point_feats"]
            if network.training:
                features.amax(1).sum().backward()
        least = min(least, time.process_time() - start)
    return len(points) / least


if __name__ == "__main__":
    main()

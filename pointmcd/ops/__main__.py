"""``python -m pointmcd.ops``: which backends are there, and which runs each kernel."""

import sys

import torch

from pointmcd.ops import backends, runs_on


def main() -> None:
    for name, status in backends().items():
        print(f"{name:8}{status}")
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    try:
        table = {device: runs_on(device) for device in devices}
    except ValueError as error:  # of POINTMCD_OPS
        sys.exit(str(error))
    print(f"\n{'kernel':28}" + "".join(f"{device:10}" for device in devices))
    for name in table["cpu"]:
        print(f"{name:28}" + "".join(f"{table[device][name]:10}" for device in devices))


if __name__ == "__main__":
    main()

#!/usr/bin/env python
"""Turn an official PointMCD checkpoint (classification: PointNet, DGCNN or the teacher) into ours.

    python tools/convert_official.py IN.pth OUT.pth

OUT is a checkpoint of configs/pointmcd_pointnet_modelnet.py, configs/pointmcd_dgcnn_modelnet.py or
configs/teacher_mobilenetv2_modelnet.py.
"""

import argparse
from pathlib import Path

import torch
from _environment import plain_errors

from pointmcd.models.official import convert
from pointmcd.models.teachers.trunks import read_state_dict


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, metavar="IN", help="state dict of the official release")
    parser.add_argument("output", type=Path, metavar="OUT", help="checkpoint to write")
    args = parser.parse_args()
    with plain_errors():
        network, state = convert(read_state_dict(args.input))
    temporary = args.output.with_name(f"{args.output.name}.tmp")
    torch.save({"state_dict": state, "meta": {"converted_from": network}}, temporary)
    temporary.replace(args.output)
    print(f"{network}: {len(state)} tensors written to {args.output}")


if __name__ == "__main__":
    main()

"""Turn a classification checkpoint of the official PointMCD release (PointNet, DGCNN, teacher) into ours."""

import argparse
from pathlib import Path

import torch

from pointmcd.models.official import convert
from pointmcd.models.teachers.trunks import read_state_dict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", type=Path, metavar="IN", help="state dict of the official release (.pth)")
    parser.add_argument("output", type=Path, metavar="OUT", help="checkpoint to write (.pth)")
    args = parser.parse_args()
    network, state = convert(read_state_dict(args.input))
    temporary = args.output.with_name(f"{args.output.name}.tmp")
    torch.save({"state_dict": state, "meta": {"converted_from": network}}, temporary)
    temporary.rename(args.output)
    print(f"{network}: {len(state)} tensors written to {args.output}")


if __name__ == "__main__":
    main()

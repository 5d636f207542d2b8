"""Take the backbone of a pre-trained model, its encoder alone or its decoder too, for fine-tuning.

    python -m projects.mvnet.tools.take_backbone projects/mvnet/configs/mvnet_srunet_builtin.py \\
        work_dirs/mvnet_srunet_builtin/epoch_20.pth encoder.pth --decoder restart

The file is what tools/finetune.py --pretrained and PretrainedBackboneHook take.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.checkpoint import write_checkpoint
from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.engine import load_config
from pointmcd.files import check_writable


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="config of the pre-training")
    add("checkpoint", type=Path, help="checkpoint of the pre-training")
    add("out", type=Path, help="file to write")
    add(
        "--decoder",
        choices=["keep", "restart", "drop"],
        default="keep",
        help="keep: encoder and decoder are handed on (default); restart: the decoder gets random weights; "
        "drop: there is none, for a backbone that is built without",
    )
    add("--seed", type=int, default=0, help="of the random weights (0)")
    add_cfg_options(parser, "as in the pre-training")
    args = parser.parse_args(argv)
    check_writable(args.out, args.checkpoint)
    config = load_config(args.config, args.cfg_options)
    from projects.mvnet.mvnet.transfer import take_backbone

    state = take_backbone(config.model.backbone, args.checkpoint, args.decoder, args.seed)
    write_checkpoint(args.out, {"state_dict": state})
    print(f"wrote {args.out}: {sum(value.numel() for value in state.values()) / 1e6:.2f} M values")


if __name__ == "__main__":
    main()

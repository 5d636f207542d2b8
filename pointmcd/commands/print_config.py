"""Print a config as a run would use it: bases merged, overrides applied, counts filled in."""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="config file")
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    from pointmcd.engine import load_config

    print(load_config(args.config, args.cfg_options).pretty_text)

"""Print a config as a run would use it: bases merged, overrides applied, counts filled in from the
prepared data.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import plain_errors
from pointmcd.engine import load_config


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="config file")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override the config"
    )
    args = parser.parse_args(argv)
    with plain_errors():
        print(load_config(args.config, args.cfg_options).pretty_text)

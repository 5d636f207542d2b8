"""Write down what the frozen image network of a config says of every view of the prepared set.

    python -m projects.mvnet.tools.cache_maps projects/mvnet/configs/mvnet_dgcnn_builtin.py --name mobilenetv2

The cache is <data_root>/maps/<name>/, in float16. Training from it needs the network no more: a config takes
model.teacher=CachedMaps and ShapesWithMaps (see mvnet_dgcnn_builtin_cached.py).
"""

from collections.abc import Sequence
from pathlib import Path

from mmengine.device import get_device

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.engine import load_config
from pointmcd.files import file_sha256
from pointmcd.registry import MODELS


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="config whose model.teacher is an ImageNetwork")
    parser.add_argument("--name", required=True, help="name of the cache")
    add_cfg_options(parser, "as in training")
    args = parser.parse_args(argv)
    config = load_config(args.config, args.cfg_options)
    from projects.mvnet.mvnet.map_cache import write_maps

    teacher, checkpoint = config.model.teacher, config.model.teacher.get("checkpoint")
    if teacher.type != "ImageNetwork":
        raise ValueError(f"{args.config}: model.teacher is {teacher.type}, must be ImageNetwork")
    origin = {
        "file": checkpoint,
        "sha256": None if checkpoint is None else file_sha256(Path(checkpoint)),
        "pretrained": teacher.get("pretrained", False),
        "random": teacher.get("random_weights", False),
    }
    network = MODELS.build(teacher).to(get_device())
    stride = config.model.get("stride", 8)
    folder = write_maps(network, config.data_root, args.name, stride, origin)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"wrote {folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

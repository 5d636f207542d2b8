"""Evaluate a segmentation network as ScanNet and S3DIS do: every vertex or point of a scene counts once.

    python -m projects.mvnet.tools.evaluate_scenes projects/mvnet/configs/scene_segmentation_srunet_mesh.py \\
        work_dirs/x/epoch_60.pth --source scans --scenes scannetv2_val.txt --out work_dirs/x/val

How scenes are read and cut is what the config's prepared set says. <out>/<scene>.txt holds the predictions, a
line each: NYU40 ids of ScanNet, the form in which its benchmark takes them, and of S3DIS the class's place.
Where scenes have labels <out>/results.json holds the figures, which six_fold.py adds up over areas. A
checkpoint is refused that was trained on one of the scenes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.device import get_device
from rich.console import Console

from pointmcd.checkpoint import load_weights, read_checkpoint, read_state_dict
from pointmcd.commands.common import add_cfg_options, make_parser, make_table, plain_errors
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.engine.agreement import check_agreement
from pointmcd.evaluation.classification import accuracies, confusion_matrix
from pointmcd.files import file_sha256, write_json, written_aside
from pointmcd.progress import track
from pointmcd.registry import MODELS
from projects.mvnet.mvnet.areas import check_held_out
from projects.mvnet.mvnet.room_files import CLASS_NAMES, areas, read_whole
from projects.mvnet.mvnet.scene_lists import ScenePart, check_scenes, read_list
from projects.mvnet.mvnet.scene_prediction import mean_iou, point_scores
from projects.mvnet.mvnet.scenes import SCANNET20, VOXEL


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="config of the training")
    add("checkpoint", type=Path)
    add("--source", type=Path, required=True, help="folder of the scenes")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--scenes", type=Path, metavar="FILE", help="names of the scenes")
    chosen.add_argument("--area", type=int, help="of S3DIS: all rooms of this area")
    add("--out", type=Path, required=True, help="folder of the predictions")
    add_cfg_options(parser, "as in the training")
    args = parser.parse_args(argv)
    config = load_config(args.config, args.cfg_options)
    request = PreparedSet(config.data_root).manifest["request"]
    form = request.get("form", "frames")
    names = CLASS_NAMES[form]
    # weights alone, which say nothing of a config, may come as .safetensors
    saved = {} if args.checkpoint.suffix == ".safetensors" else read_checkpoint(args.checkpoint)
    for note in check_agreement(config, saved, args.checkpoint):
        print(note)
    scenes = chosen_scenes(args)
    check_held_out(saved, args.checkpoint, scenes, request.get("scenes", {}))
    model = MODELS.build(config.model).to(get_device()).eval()
    load_weights(model, read_state_dict(args.checkpoint), f"{args.checkpoint} does not fit the config")
    confusion = np.zeros((len(names), len(names)), np.int64)
    ids = np.array(list(SCANNET20)) if form == "mesh" else np.arange(len(names))
    for scene in track(scenes, "scenes"):
        whole = read_whole(args.source / scene, form)
        thin = whole.thinned(request.get("voxel", VOXEL))
        scores = point_scores(
            model, thin, whole.points, request["num_points"], request["radius"], scene.rpartition("/")[2]
        )
        guess = scores.argmax(axis=1)
        with written_aside(args.out / f"{scene.replace('/', '--')}.txt") as temporary:
            np.savetxt(temporary, ids[guess], "%d")
        if whole.classes is not None:
            labelled = whole.classes < len(names)
            confusion += confusion_matrix(whole.classes[labelled], guess[labelled], len(names))
    if confusion.sum():
        sha256 = file_sha256(args.checkpoint)
        report(confusion, names, args.out, area=args.area, scenes=scenes, checkpoint_sha256=sha256)
    else:
        print(f"wrote the predictions of {len(scenes)} scenes to {args.out}; no point has a label")


def chosen_scenes(args: argparse.Namespace) -> list[str]:
    """Return the scenes to evaluate on, each once.

    Raises:
        ValueError: There is none, or a list names one twice.
    """
    if args.scenes is not None:
        scenes = read_list(args.scenes)
        check_scenes({str(args.scenes): [ScenePart(scene) for scene in scenes]})
        if not scenes:
            raise ValueError(f"{args.scenes} lists no scene to evaluate on")
        return scenes
    there = areas(args.source)
    if f"Area_{args.area}" not in there:
        raise ValueError(f"{args.source} has no Area_{args.area}; it has {', '.join(there)}")
    return there[f"Area_{args.area}"]


def report(confusion: np.ndarray, names: Sequence[str], out: Path, **about: Any) -> None:
    """Show the figures of a confusion matrix, and write ``results.json``, with what they are ``about``."""
    mean, iou = mean_iou(confusion)
    rows = [
        [name, "-" if np.isnan(value) else f"{100 * value:.1f}"]
        for name, value in zip(names, iou, strict=True)
    ]
    Console().print(make_table("IoU over points", ["class", ">%"], rows, [["mean", f"{mean:.1f}"]]))
    figures = {
        "mean_iou": mean,
        **accuracies(confusion),
        "classes": list(names),
        "confusion": confusion.tolist(),
        **about,
    }
    write_json(out / "results.json", figures)


if __name__ == "__main__":
    main()

"""The protocol of S3DIS: an area is left out of a training, and the network is tested on that area alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from pointmcd.engine.agreement import LOADERS, config_of
from pointmcd.registry import HOOKS


def left_out(config: Mapping[str, Any]) -> int | None:
    """Return the area that the loaders of a config leave out of the training; None where they know no areas.

    Raises:
        ValueError: They leave out different ones.
    """
    datasets = {loader: _dataset(config, loader) for loader in LOADERS}
    stated = {loader: dataset["area"] for loader, dataset in datasets.items() if "area" in dataset}
    if len(set(stated.values())) > 1:
        shown = ", ".join(f"{loader} {area}" for loader, area in stated.items())
        raise ValueError(
            f"dataset.area differs between the loaders ({shown}): the area that is tested would be trained "
            "on; give all of them the same"
        )
    return next(iter(stated.values()), None)


def scenes_trained_on(saved: dict[str, Any], scenes: Mapping[str, Sequence[str]]) -> set[str] | None:
    """Return which scenes of a prepared set a checkpoint was trained on; None where it does not say.

    Args:
        saved: What ``read_checkpoint`` gave.
        scenes: The lines of each split's list, as the set's manifest has them.
    """
    config = config_of(saved)
    dataset = _dataset(config, "train_dataloader")
    if not dataset:
        return None
    if "area" in dataset:
        splits = [split for split in scenes if split != f"Area_{dataset['area']}"]
    else:
        splits = [dataset.get("split", "train")]
    return {line.split()[0] for split in splits for line in scenes.get(split, ())}


def check_held_out(
    saved: dict[str, Any], source: Path, scenes: Sequence[str], prepared: Mapping[str, Sequence[str]]
) -> None:
    """Refuse to test a checkpoint on scenes that it was trained on.

    Args:
        saved: What ``read_checkpoint`` gave.
        source: The file, for messages.
        scenes: Those to test on.
        prepared: The lines of each split's list, as the set's manifest has them.

    Raises:
        ValueError: It was trained on some; the text names one, and the area that was left out.
    """
    known = scenes_trained_on(saved, prepared)
    if known is None:
        print(f"{source} does not say what it was trained on; make sure that these scenes are others")
        return
    if seen := [scene for scene in scenes if scene in known]:
        area = _dataset(config_of(saved), "train_dataloader").get("area")
        remedy = "give others" if area is None else f"it left out area {area}: give --area {area}"
        raise ValueError(
            f"{source} was trained on {len(seen)} of these {len(scenes)} scenes, such as {seen[0]}; {remedy}"
        )


@HOOKS.register_module()
class LeftOutAreaHook(Hook):
    """Refuse to test on an area that is trained on, or was by the checkpoint that a run starts from."""

    def before_run(self, runner: Any) -> None:
        """Compare the loaders."""
        left_out(runner.cfg)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Compare with the area that the checkpoint's training left out."""
        ours = left_out(runner.cfg)
        theirs = _dataset(config_of(checkpoint), "train_dataloader").get("area", ours)
        if theirs != ours:
            raise ValueError(
                f"the checkpoint was trained without area {theirs}, and so on area {ours}, which this config "
                f"tests on; give area={theirs} to the dataset of each loader"
            )


def _dataset(config: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """Return the config of a loader's dataset; {} where there is none. The config may be anybody's."""
    found = config.get(loader)
    dataset = found.get("dataset") if isinstance(found, Mapping) else None
    return dataset if isinstance(dataset, Mapping) else {}

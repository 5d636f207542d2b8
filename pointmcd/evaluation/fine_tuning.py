"""Fine-tuning from a pre-trained backbone beside training from scratch, at fractions of the labels."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine import build_runner, load_config
from pointmcd.engine.schedules import LENGTHS
from pointmcd.evaluation.metrics import Metric
from pointmcd.evaluation.statistics import counted
from pointmcd.files import read_json
from pointmcd.registry import DATASETS

MIN_SHARE = 0.25


def schedule(
    shapes: int, labelled: int, batch_size: int, epochs: int, min_share: float = MIN_SHARE
) -> tuple[int, int]:
    """Return batch size and epochs with which a recipe for all shapes runs on some of them.

    As many iterations are made as the recipe makes on all shapes, times the share that is labelled or
    ``min_share``, whichever is larger: at a hundredth of the labels, a hundredth of the iterations would
    train nothing, and all of them would only repeat.

    Args:
        shapes: S, what the recipe was made for.
        labelled: How many there are.
        batch_size: Of the recipe; the last incomplete batch of an epoch is dropped.
        epochs: Of the recipe.
        min_share: In (0, 1].

    Returns:
        The batch size, no more than there are shapes, and the epochs; with all shapes those of the recipe.
    """
    iterations = epochs * (shapes // min(batch_size, shapes))
    batch = min(batch_size, labelled)
    share = max(Fraction(min_share), Fraction(labelled, shapes))  # exact, so that half an epoch is half
    return batch, max(1, round(share * iterations / (labelled // batch)))


def run_config(
    path: str | Path,
    options: list[str],
    fraction: float = 1.0,
    seed: int = 0,
    pretrained: str | Path | None = None,
    min_share: float = MIN_SHARE,
) -> Config:
    """Return the config of one run: a student's recipe on a fraction of the labels.

    Args:
        path: A student's config with a task (``baseline_*``).
        options: Overrides, as ``--cfg-options`` takes them.
        fraction: Share of each class's labels, in (0, 1].
        seed: Of the weights, the order and the augmentation, and of which shapes are labelled.
        pretrained: A checkpoint whose backbone the run starts from, or None to start from scratch.
        min_share: As ``schedule``.

    Raises:
        ValueError: The config has no task, is not counted in epochs, or states the length of its learning
            rate's schedule, which then cannot follow.
    """
    config = load_config(path, options)
    loader = config.train_dataloader
    if config.get("test_dataloader") is None or config.model.get("head") is None:
        raise ValueError(f"{path} has no task to fine-tune for; give a baseline_* config")
    if config.train_cfg.get("max_epochs") is None:
        raise ValueError(f"{path} does not count epochs (train_cfg.max_epochs)")
    some: dict[str, Any] = {"label_fraction": fraction, "fraction_seed": seed, "unlabelled": None}
    rows = DATASETS.build({**loader.dataset, **some}).rows
    batch, epochs = schedule(
        len(DATASETS.build(loader.dataset)),
        len(rows),
        loader.batch_size,
        config.train_cfg.max_epochs,
        min_share,
    )
    if batch < 2:
        raise ValueError(f"{path}: one labelled shape is too few for batch norm; give a larger fraction")
    changed: dict[str, Any] = {"train_dataloader.batch_size": batch, "train_cfg.max_epochs": epochs}
    changed |= {f"train_dataloader.dataset.{name}": value for name, value in some.items()}
    lasts = config.train_cfg.max_epochs
    config = load_config(path, [*options, *(f"{name}={value}" for name, value in changed.items())])
    _check_schedule(path, config, lasts)
    config.randomness.seed = seed
    config.default_hooks.checkpoint.interval = max(config.default_hooks.checkpoint.interval, epochs // 4)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None  # tested once, at the end
    if pretrained is not None:
        config.custom_hooks.append({"type": "PretrainedBackboneHook", "checkpoint": str(pretrained)})
    return config


def fit_batch(config: Config) -> int | None:
    """Lower a batch size that would make no step, to as many shapes as an epoch has.

    Args:
        config: A student's; changed in place.

    Returns:
        The new batch size, or None where it was left as it is.

    Raises:
        ValueError: There is one shape alone, too few for batch norm.
    """
    loader = config.train_dataloader
    dataset = DATASETS.build(loader.dataset)
    shapes = getattr(dataset, "epoch_size", len(dataset))
    if loader.batch_size <= shapes:
        return None
    if shapes < 2:
        raise ValueError(
            f"{dataset.prepared.root} has {counted(shapes, 'shape')} to train on: too few for batch norm"
        )
    loader.batch_size = shapes
    return shapes


def steps_of_epoch(config: Config) -> int:
    """Return the steps of an epoch of a student's training, whose last incomplete batch is dropped."""
    dataset = DATASETS.build(config.train_dataloader.dataset)
    return getattr(dataset, "epoch_size", len(dataset)) // config.train_dataloader.batch_size


def _check_schedule(path: str | Path, config: Config, lasts: int) -> None:
    """Refuse a learning rate that does not follow the number of epochs."""
    epochs = config.train_cfg.max_epochs
    schedulers = config.get("param_scheduler") or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if epochs != lasts and epochs not in [scheduler.get(name) for name in LENGTHS]:
            raise ValueError(
                f"{path}: a fraction of the labels takes {counted(epochs, 'epoch')} instead of {lasts}, "
                f"which its {scheduler['type']} does not follow; use CosineAnnealingLR with T_max=None"
            )


def digest_of_config(config: Config) -> str:
    """Return the SHA-256 of all that a complete config says, but for where files lie.

    What they hold tells runs apart by other means: the set by its digest, a start by that of its weights.
    """

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: told(one) for key, one in value.items() if key not in ("data_root", "work_dir")}
        if isinstance(value, list | tuple):
            return [told(one) for one in value if not _is_start(one)]
        return value

    text = json.dumps(told(config.to_dict()), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_start(hook: Any) -> bool:
    return isinstance(hook, dict) and hook.get("type") == "PretrainedBackboneHook"


def check_settings(folder: Path, settings: dict[str, Any], of_before: dict[str, Any] | None = None) -> None:
    """Refuse a folder that holds a run with other settings; one that has stored nothing yet is not a run.

    Args:
        folder: Of the run; ``settings.json`` there says what it was made with.
        settings: Of the run to make.
        of_before: What a ``settings.json`` was made with that does not say.

    Raises:
        ValueError: They differ, or what is there is damaged.
    """
    noted = folder / "settings.json"
    if not noted.is_file() or not ((folder / "result.json").is_file() or any(folder.glob("*.pth"))):
        return
    before = read_json(noted)
    if not isinstance(before, dict):
        raise ValueError(f"{noted} is damaged: delete the folder to run it again")
    # earlier versions did not write down the complete config
    before = {**(of_before or {}), "complete_config": settings.get("complete_config"), **before}

    def said(name: str) -> str:
        values = [str(one.get(name)) for one in (before, settings)]
        return f"{name} ({values[0]}, now {values[1]})" if max(map(len, values)) <= 60 else name

    if changed := [name for name in settings if before.get(name) != settings[name]]:
        changed = [
            name for name in changed if name != "complete_config"
        ] or changed  # which follows from others
        raise ValueError(
            f"{folder} holds a run with another {', '.join(map(said, changed))}; give another --out, or "
            "delete it"
        )


def train_and_test(config: Config, work_dir: str | Path) -> dict[str, Any]:
    """Train and test one run; where it was interrupted, go on from its newest checkpoint.

    Args:
        config: Of ``run_config``.
        work_dir: Folder of the run.

    Returns:
        The metrics of the test split in percent, what was tested (``PreparedShapes.about``) and the metric's
        details, with which ``shape_scores`` knows each shape's score.
    """
    config.work_dir = str(work_dir)
    config.resume = True  # where there is a checkpoint
    config.default_hooks.console = {"type": "ConsoleHook", "title": Path(work_dir).name, "lines": False}
    runner = build_runner(config)
    runner.train()
    metrics = runner.test()
    metric = runner.test_evaluator.metrics[0]
    dataset = runner.test_dataloader.dataset
    details = metric.details(dataset) if isinstance(metric, Metric) else {}
    return {**metrics, **dataset.about, **details}


def labelled_shapes(config: Config) -> int:
    """Return how many shapes a run trains on."""
    dataset: PreparedShapes = DATASETS.build(config.train_dataloader.dataset)
    return len(dataset)

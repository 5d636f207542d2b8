"""What a training learns from, as its checkpoints say it; one that is resumed goes on with the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine.agreement import config_of, plain, statement_of
from pointmcd.files import file_sha256

OF_LABELS = {
    "split": "train",
    "label_fraction": 1.0,
    "fraction_seed": 0,
    "without_fold": None,
    "unlabelled": None,
}
"""Options of a dataset that say which labels are known, with their defaults."""


def learns_from(dataset: Any, model: dict[str, Any]) -> dict[str, Any]:
    """Return what the statement of a checkpoint says beside the config.

    Args:
        dataset: That is trained on.
        model: The config of what is trained.

    Returns:
        ``data_digest`` of the dataset's own set, and ``teacher``: a hash of each cache that it reads, and of
        the checkpoint of a teacher that is asked while the student trains.
    """
    said: dict[str, Any] = {"teacher": []}
    if isinstance(dataset, PreparedShapes):
        said = {"data_digest": dataset.prepared.digest, "teacher": dataset.taught_by}
    path = (model.get("teacher") or {}).get("checkpoint")
    if path is not None and Path(path).is_file():
        said["teacher"] = [*said["teacher"], file_sha256(path)]
    return said


def check_same_training(
    checkpoint: dict[str, Any], source: str | Path, config: Config, statement: dict[str, Any]
) -> None:
    """Refuse to resume with other labels, another set or another teacher.

    The next checkpoint would say only what it was trained with last, and a teacher made of it would pass for
    one that has not seen the labels of before. Older checkpoints say nothing of their teacher.

    Args:
        checkpoint: Of ``read_checkpoint``.
        source: The file, for the error.
        config: Of the training that would go on.
        statement: What its checkpoints will state.

    Raises:
        ValueError: They differ.
    """
    stated = statement_of(checkpoint)
    before = (config_of(checkpoint).get("train_dataloader") or {}).get("dataset")
    now = plain(config.train_dataloader.get("dataset"))
    changed = []
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = {name: (before.get(name, usual), now.get(name, usual)) for name, usual in OF_LABELS.items()}
        changed = [f"{name} {then}, not {here}" for name, (then, here) in pairs.items() if then != here]
    there, here = stated.get("data_digest"), statement.get("data_digest")
    if there is not None and here is not None and there != here:
        changed.append(f"a set of digest {there[:16]}, not {here[:16]} ({now.get('data_root')})")
    if stated.get("teacher", statement["teacher"]) != statement["teacher"]:
        name = now.get("teacher") or (config.model.get("teacher") or {}).get("checkpoint")
        changed.append(f"another teacher than {name or 'none'} is now")
    if changed:
        raise ValueError(
            f"{source} was trained with {', '.join(changed)}, and a resumed training goes on with the same: "
            "give what it was trained with, or begin another training in a --work-dir of its own"
        )


def changed_settings(checkpoint: dict[str, Any], config: Config) -> list[str]:
    """Return where model and training set differ from a checkpoint's: ``model.x: before ..., now ...``.

    Where the set lies makes no difference; whether it is the same one, its digest tells.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    theirs, ours = config_of(checkpoint), plain(config._cfg_dict)
    for place in (("model",), ("train_dataloader", "dataset")):
        then, now = (_within(values, place) for values in (theirs, ours))
        if then is not None:
            before |= _flat(".".join(place), then)
            after |= _flat(".".join(place), now)
    for known in (before, after):
        known.pop("train_dataloader.dataset.data_root", None)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name}: before {before.get(name)}, now {after.get(name)}" for name in names]


def _within(values: Any, place: Sequence[str]) -> Any:
    for name in place:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        items = enumerate(value)
    else:
        return {name: value}
    return {key: one for part, inner in items for key, one in _flat(f"{name}.{part}", inner).items()}

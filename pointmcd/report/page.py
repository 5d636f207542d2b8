"""The page: its data as JSON, its own style and script, and plotly's script from the installed package."""

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.label_choice import rows_of_split
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.classification import confusion_matrix
from pointmcd.evaluation.statistics import in_words
from pointmcd.files import written_aside
from pointmcd.geometry import CameraRig
from pointmcd.report import shapes as packed
from pointmcd.report.runs import Run, curves, find_runs, interval
from pointmcd.visualization.parts import part_colors

MOST_SHAPES = 500
MOST_BYTES = 24_000_000
"""Of a page; where all shapes would need more, fewer are shown."""
PLOTLY = 4_900_000  # of which its script takes so much


def write_report(
    source: str | Path,
    out: str | Path,
    data_root: str | Path | None = None,
    split: str | None = None,
    most: int = MOST_SHAPES,
) -> dict[str, int]:
    """Write a work dir's tests, or a prepared set, as one page that needs neither network nor server.

    Args:
        source: A work dir with what ``pointmcd test`` left there, or with folders that are such (the newest
            test gives the shapes); or the folder of a prepared set.
        out: The HTML file; a reader sees the old one or the new one.
        data_root: The prepared set of the tests; default: where they say that it was.
        split: Which split; default: that of the test, or ``test``.
        most: Shapes to show.

    Returns:
        ``shapes`` shown, ``of`` how many, and ``bytes`` of the page.

    Raises:
        ValueError: There is nothing to report on, what there is does not fit together, or plotly is missing.
        OSError: The page cannot be written.
    """
    source = Path(source)
    if not source.is_dir():
        raise FileNotFoundError(f"there is no folder {source}")
    if most < 1:
        raise ValueError(f"a report shows at least one shape, not {most}")
    script = _plotly()
    if (source / "manifest.json").is_file():
        runs, data_root = [], source
    else:
        runs = find_runs(source)
        data_root = data_root or _said(runs[-1], "data_root", "--data")
    prepared = PreparedSet(data_root)
    run = runs[-1] if runs else None
    split = split or (str(run.report.get("split", "test")) if run else _default_split(prepared))
    content = describe(source, prepared, split, run, runs, most)
    text = _filled(content, script)
    with written_aside(out) as temporary:
        temporary.write_text(text, "utf-8")
    return {
        "shapes": len(content["shapes"]),
        "of": content["total"],
        "bytes": len(text.encode()),
    }


def describe(
    source: Path, prepared: PreparedSet, split: str, run: Run | None, runs: list[Run], most: int
) -> dict[str, Any]:
    """Return all that the page shows, as plain values."""
    data = prepared.split("train" if split in ("fit", "held_out") else split)
    rows = rows_of_split(np.asarray(data.labels), split)
    labels = np.asarray(data.labels)[rows]
    if not len(rows):
        raise ValueError(f"split {split!r} of {prepared.root} has no shapes; name another with --split")
    if run is not None and not np.array_equal(run.labels, labels):
        raise ValueError(
            f"{run.path} was not tested on split {split!r} of {prepared.root}: the labels differ; name the "
            "set with --data and the split with --split"
        )
    if run is not None and run.report.get("data_digest", prepared.digest) != prepared.digest:
        raise ValueError(
            f"{run.path} was tested on another set than {prepared.root} holds now; test again, or name its "
            "set with --data"
        )
    _check_classes(run, len(prepared.class_names))
    rig = CameraRig.from_dict(prepared.manifest["rig"]) if prepared.manifest["rig"] else None
    views = packed.views_shown(rig)
    num_points = min(prepared.num_points, packed.MOST_POINTS)
    if run is not None and run.parts is not None:
        num_points = min(num_points, run.parts.shape[1])
    quality = None if run is None else _quality(run)
    chosen = packed.choose(quality, len(rows), most)
    shown, size = [], PLOTLY
    for place, shape in zip(chosen, packed.pack(data, rows[chosen], views, num_points), strict=True):
        shape |= {"label": int(labels[place])}
        if run is not None and quality is not None:
            shape |= _said_of(run, int(place), num_points) | {"score": _rounded(quality[place])}
        size += len(json.dumps(shape))
        if size > MOST_BYTES:
            break
        shown.append(shape)
    return {
        "title": source.resolve().name,
        "set": prepared.root.resolve().name,
        "split": split,
        "total": len(rows),
        "task": "data" if run is None else "segmentation" if run.segments else "classification",
        "classes": list(prepared.class_names),
        "parts": prepared.part_names or [],
        "colors": _colors(prepared),
        "figures": _figures(runs),
        "by_class": _by_class(prepared, labels, run),
        "curves": curves(run.path.parent) if run else [],
        "confusion": None
        if run is None or run.predictions is None
        else confusion_matrix(run.labels, run.predictions, len(prepared.class_names)).tolist(),
        "tile": packed.TILE,
        "columns": packed.COLUMNS,
        "views": [] if rig is None else _views(rig, views),
        "has_images": prepared.has_views,
        "shapes": shown,
    }


def _check_classes(run: Run | None, count: int) -> None:
    """Refuse predictions of classes that the set does not have."""
    if run is None or run.predictions is None:
        return
    least, most = int(run.predictions.min()), int(run.predictions.max())
    given = count if run.probabilities is None else run.probabilities.shape[1]
    if least < 0 or most >= count or given != count:
        raise ValueError(f"{run.path} predicts classes that are not the {count} of the set")
    if run.probabilities is not None:
        lowest, highest = run.probabilities.min(), run.probabilities.max()
        if not (lowest >= 0 and highest <= 1 + 1e-4):  # NaN is neither
            raise ValueError(
                f"{run.path}: its probabilities are not between 0 and 1; test the checkpoint again"
            )


def _quality(run: Run) -> np.ndarray:
    """Return (S,) how well each shape went: the probability of its class, whether it is right, or its IoU."""
    if run.probabilities is None:
        return run.scores
    of_truth = np.take_along_axis(run.probabilities, run.labels[:, None], 1)[:, 0]
    return (run.scores + of_truth) / 2  # right ones before wrong ones, whatever the probabilities


def _said_of(run: Run, place: int, num_points: int) -> dict[str, Any]:
    """Return what a run made of one shape."""
    if run.segments:
        found: dict[str, Any] = {"iou": _rounded(run.scores[place])}
        if run.parts is not None:
            found["predicted_parts"] = packed.encoded(run.parts[place][:num_points], "<u2")
        return found
    assert run.predictions is not None
    found = {"predicted": int(run.predictions[place])}
    if run.probabilities is not None:
        row = run.probabilities[place]
        best = np.argsort(-row, kind="stable")[:5]
        found["top"] = [[int(label), _rounded(row[label])] for label in best]
        found["of_truth"] = _rounded(row[run.labels[place]])
    return found


def _figures(runs: list[Run]) -> list[dict[str, Any]]:
    """Return a row for each run: its name, and each figure with its interval."""
    rows = []
    for run in runs:
        row: dict[str, Any] = {"name": run.name, "shapes": len(run.labels)}
        row["values"] = {in_words(name): _spread(found) for name, found in run.figures().items()}
        teacher = {
            in_words(name.removeprefix("teacher_")): _rounded(value)
            for name, value in run.report.items()
            if name.startswith("teacher_") and isinstance(value, int | float)
        }
        rows.append(row | ({"teacher": teacher} if teacher else {}))
    return rows


def _by_class(prepared: PreparedSet, labels: np.ndarray, run: Run | None) -> list[dict[str, Any]]:
    """Return a row for each class that has shapes."""
    rows = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        row: dict[str, Any] = {"label": int(label), "shapes": len(members)}
        if run is not None:
            row["value"] = _spread(interval(run.scores[members], ious=run.segments))
        rows.append(row)
    return rows


def _views(rig: CameraRig, views: list[int]) -> list[dict[str, Any]]:
    places = rig.positions() / rig.distance
    return [
        {
            "number": view,
            "azimuth": round(rig.azimuth_deg[view]),
            "elevation": round(rig.elevation_deg[view]),
            "from": [_rounded(value) for value in places[view]],
        }
        for view in views
    ]


def _colors(prepared: PreparedSet) -> dict[str, str]:
    """Return the colour of each part by its number, as pictures have it: by its place in its category."""
    found: dict[str, str] = {}
    for own in prepared.class_parts or []:
        for part, rgb in zip(own, part_colors(np.array(own), own), strict=True):
            found.setdefault(str(part), "#" + "".join(f"{round(255 * value):02x}" for value in rgb))
    return found


def _spread(found: Any) -> list[float]:
    return [_rounded(value) for value in (found.mean, found.low, found.high)]


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def _said(run: Run, key: str, option: str) -> Path:
    value = run.report.get(key)
    if not isinstance(value, str) or not Path(value).is_dir():
        where = f"{value}, which is not here" if isinstance(value, str) else "nowhere"
        raise ValueError(f"{run.path} was tested on {where}; name the prepared set: {option} data/...")
    return Path(value)


def _default_split(prepared: PreparedSet) -> str:
    return "test" if "test" in prepared.splits else prepared.splits[0]


def _plotly() -> str:
    try:
        return files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ValueError(
            "a report needs plotly for its 3D view and charts: pip install 'pointmcd[report]'"
        ) from error


def _filled(content: Mapping[str, Any], script: str) -> str:
    """Return the page; what files said is data in it, and can begin no tag and end no script."""
    template, style, code = (
        files("pointmcd.report").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    data = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    values = {
        "TITLE": html.escape(str(content["title"])),
        "STYLE": style,
        "PLOTLY": script.replace("</script", "<\\/script"),
        "CODE": code,
        "DATA": data,
    }
    before, *pieces = template.split("{{")
    filled = [before]
    for piece in pieces:
        name, _, after = piece.partition("}}")
        filled += [values[name], after]
    return "".join(filled)

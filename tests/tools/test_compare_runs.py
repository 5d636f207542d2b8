"""tools/compare_runs.py on reports written by hand."""

import json

import numpy as np
import pytest

from pointmcd.commands import compare_runs

LABELS = [0] * 30 + [1] * 10


@pytest.fixture
def compare(capsys):
    """Run the tool in this process and return what it printed, or the message it ended with."""

    def run(first, second):
        words = ["--first", *first, "--second", *second]
        try:
            compare_runs.main([str(word) for word in words])
        except SystemExit as end:
            return str(end.code)
        return capsys.readouterr().out

    return run


def segmented(path, ious, protocol="standard", labels=LABELS):
    ious = np.array(ious)
    by_category = [ious[np.equal(labels, label)].mean() for label in (0, 1)]
    report = {
        "instance_miou": 100 * ious.mean(),
        "category_miou": 100 * np.mean(by_category),
        "protocol": protocol,
        "labels": labels,
        "ious": ious.tolist(),
    }
    path.write_text(json.dumps(report))
    return path


def test_part_segmentation(compare, tmp_path):
    """One category gains 20 points, one loses 4: the two means differ, and each has its interval."""
    first = [segmented(tmp_path / f"a{seed}.json", [0.5] * 40) for seed in range(2)]
    second = [segmented(tmp_path / f"b{seed}.json", [0.7] * 30 + [0.46] * 10) for seed in range(2)]
    said = compare(first, second)
    assert "40 shapes, 2 seeds" in said
    assert "instance mIoU, second less first: +14.00 points" in said
    assert "category mIoU, second less first: +8.00 points, no interval: too few shapes, or" in said
    assert "64.00 ± 0.00" in said
    assert "58.00 ± 0.00" in said


def test_classification_has_both_means(compare, tmp_path):
    for name, right in (("a", 40), ("b", 30)):  # the second is wrong on the whole of class 1
        predictions = LABELS[:right] + [0] * (40 - right)
        report = {"overall_accuracy": 100 * right / 40, "mean_class_accuracy": 100.0 if right == 40 else 50.0}
        report |= {"labels": LABELS, "predictions": predictions}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    said = compare([tmp_path / "a.json"], [tmp_path / "b.json"])
    assert "overall accuracy, second less first: -25.00 points" in said
    assert "mean class accuracy, second less first: -50.00 points, no interval" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"protocol": "official"}, "cannot be compared: official protocol and standard protocol"),
        ({"protocol": None}, "cannot be compared: classification and standard protocol"),
        ({"labels": LABELS[::-1]}, "of different test splits"),
    ],
)
def test_what_does_not_compare_is_refused(compare, tmp_path, more, message):
    first = segmented(tmp_path / "a.json", [0.5] * 40)
    second = segmented(tmp_path / "b.json", [0.5] * 40, **more)
    said = compare([first], [second])
    assert message in said


@pytest.mark.parametrize(
    ("name", "message"), [("data_digest", "of different sets"), ("split", "of different splits")]
)
def test_other_shapes_of_the_same_labels_are_refused(compare, tmp_path, name, message):
    paths = [segmented(tmp_path / f"{one}.json", [0.5] * 40) for one in "abc"]
    for path, value in zip(paths, ("one", "other"), strict=False):
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    assert message in compare(paths[:1], paths[1:2])
    assert "+0.00 points" in compare(paths[:1], paths[2:])  # which does not say


def test_more_seeds_on_one_side_are_refused(compare, tmp_path):
    report, other = (segmented(tmp_path / f"{name}.json", [0.5] * 40) for name in "ab")
    assert "(2, 40) and (1, 40)" in compare([report, other], [report])
    assert f"--first has {report} twice" in compare([report, report], [report, other])


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "is not a report"), ('{"labels": [', "b.json is damaged")]
)
def test_other_files_are_named(compare, tmp_path, text, message):
    report, other = segmented(tmp_path / "a.json", [0.5] * 40), tmp_path / "b.json"
    other.write_text(text)
    assert message in compare([report], [other])

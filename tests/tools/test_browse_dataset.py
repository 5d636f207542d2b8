"""tools/browse_dataset.py: which shapes it draws, and what it says when it cannot."""

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from pointmcd.commands import browse_dataset
from pointmcd.datasets.prepared_set import PreparedSet

TOOL = Path(__file__).resolve().parents[2] / "tools" / "browse_dataset.py"


@pytest.fixture
def tool(monkeypatch):
    """The command as a module, and a way to give it a command line."""

    def arguments(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", [TOOL.name, *map(str, words)])

    return browse_dataset, arguments


def test_draws_a_class_by_default_name(tiny_set, tmp_path):
    command = [sys.executable, str(TOOL), str(tiny_set), "--class", "cone", "--count", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    (picture,) = (tmp_path / "work_dirs/browse").iterdir()
    assert picture.name == "set_test.png"
    assert str(picture.relative_to(tmp_path)) in done.stdout
    height, width, _ = cv2.imread(str(picture)).shape
    assert height > 4 * 150  # two shapes, two rows each
    assert width > 4 * 150  # four views


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--count", 4], ["box_0007", "cone_0007", "cylinder_0007", "torus_0007"]),
        (["--name", "torus_0008", "box/box_0009"], ["torus_0008", "box_0009"]),
        (["--index", 5, 2], ["cone_0009", "box_0009"]),
        (["--class", "cone"], ["cone_0007", "cone_0008", "cone_0009"]),
        (["--split", "train", "--class", "torus", "--count", 2], ["torus_0001", "torus_0004"]),
    ],
)
def test_chooses_shapes(tiny_set, tool, words, expected):
    module, arguments = tool
    arguments(tiny_set, *words)
    args, prepared = module.parse_args(None), PreparedSet(tiny_set)
    names = prepared.split(args.split).names
    assert [names[row].rsplit("/")[-1] for row in module.choose(args, prepared)] == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "torus_008"], "did you mean torus_0008"),
        (["--class", "cylindre"], "did you mean cylinder"),
        (["--split", "val"], "no split 'val'; it has"),
        (["--index", 12], "no shape 12"),
        (["--count", 0], "--count must be positive"),
    ],
)
def test_says_what_is_wrong(tiny_set, tool, tmp_path, words, message):
    module, arguments = tool
    arguments(tiny_set, *words, "--out", tmp_path / "never.png")
    with pytest.raises(SystemExit, match=message):
        module.main()
    assert not (tmp_path / "never.png").exists()


def test_missing_set_says_how_to_prepare_one(tool, tmp_path):
    module, arguments = tool
    arguments(tmp_path / "nothing")
    with pytest.raises(SystemExit, match="From built-in shapes"):
        module.main()

"""The demo's recipe, and how it runs the other commands; the commands have their own tests."""

import argparse

import pytest

from pointmcd.commands.demo import BASELINE, DISTILLED, TEACHER, Demo
from pointmcd.engine import load_config


def test_teacher_and_students_know_the_same_labels_and_students_make_as_many_steps(tiny_set):
    configs = [load_config(name, {"data_root": str(tiny_set)}) for name in (TEACHER, BASELINE, DISTILLED)]
    loaders = [config.train_dataloader for config in configs]
    known = {
        (
            one.dataset.split,
            one.dataset.label_fraction,
            one.dataset.unlabelled,
            one.dataset.get("fraction_seed"),
        )
        for one in loaders
    }
    assert known == {("train", 0.2, "rest", None)}
    _, alone, distilled = configs
    for same in ("train_cfg", "optim_wrapper", "param_scheduler"):
        assert alone[same] == distilled[same]
    assert alone.model.head == distilled.model.head
    assert loaders[1].sampler.share == 1
    assert loaders[2].sampler.share == 0.5
    assert [loader.dataset.num_points for loader in loaders[1:]] == [256, 256]


def test_what_a_command_prints_goes_to_a_file_that_its_failure_names(tmp_path, capfd):
    demo, output = Demo(argparse.Namespace(work_dir=tmp_path)), tmp_path / "output.txt"
    demo.tool("train", "--help", threads=1, output=output)
    shown = capfd.readouterr().out
    assert f"pointmcd train --help >> {output}" in shown
    assert "--work-dir" in output.read_text()
    with pytest.raises(SystemExit, match=r"pointmcd no-command failed with exit code \d; see .*output.txt"):
        demo.tool("no-command", output=output)
    assert "no-command" in output.read_text()

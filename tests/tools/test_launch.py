"""Several processes: what SLURM says is what torchrun would have said; copies of a training are refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointmcd.commands import distill, finetune, train
from pointmcd.commands.launch import first_node, from_slurm, join_processes

REPOSITORY = Path(__file__).resolve().parents[2]
SRUN = f"""#!{sys.executable}
import os, subprocess, sys
words = sys.argv[1:]
tasks = next(word for word in words if word.startswith("--ntasks=")).partition("=")[2]
command = words[words.index("python") :]
about = {{
    "SLURM_STEP_NUM_TASKS": tasks, "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_JOB_ID": "9600",
}}
ranks = [
    subprocess.Popen(command, env={{**os.environ, **about, "SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)}})
    for n in range(int(tasks))
]
sys.exit(max(one.wait() for one in ranks))
"""
STEP = {
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "41234",
}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[03-05,09],login", "gpu03"),
        ("gpu[9]", "gpu9"),
        ("a,b[1-2]", "a"),
        ("rack[1,3-4]-node", "rack1-node"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_the_first_node_of_a_list(nodes, first):
    assert first_node(nodes) == first


def test_ranks_are_those_of_srun():
    place = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert from_slurm(STEP) == {**place, "MASTER_ADDR": "gpu03", "MASTER_PORT": "21234"}
    meet = {"MASTER_ADDR": "first", "MASTER_PORT": "1"}
    assert from_slurm({**STEP, **meet, "PORT": "2"}) == {**place, **meet}


@pytest.fixture
def bare(monkeypatch):
    """An environment that nothing was launched in."""
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_without_the_launcher_its_name_is_refused(bare):
    with pytest.raises(ValueError, match="SLURM_PROCID is not set"):
        join_processes("slurm")
    with pytest.raises(ValueError, match="torchrun did not start this"):
        join_processes("pytorch")
    join_processes("none")
    assert "RANK" not in os.environ


def test_copies_of_a_training_are_refused(bare, tmp_path):
    bare.chdir(tmp_path)
    for name, value in STEP.items():
        bare.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        train.main(["pointmcd_pointnet_modelnet"])
    assert (
        "srun started this 8 times, and each copy would run the whole training; give --launcher slurm"
        in end.value.code
    )
    for command, words in ((distill, ["set"]), (finetune, ["config.py", "--pretrained", "x.pth"])):
        with pytest.raises(SystemExit, match=r"srun started this 8 times.*; give one task"):
            command.main(words)
    assert not list(tmp_path.iterdir())
    bare.setenv("RANK", "0")  # one torchrun a node
    bare.setenv("WORLD_SIZE", "1")
    join_processes("none")


def test_the_script_trains_on_the_processes_of_srun(taught_set, tmp_path):
    """With a stand-in for srun that starts as many processes as it is told, as SLURM is not here."""
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    sizes = [f"{split}_dataloader.dataset.num_points=64" for split in ("train", "val", "test")]
    words = ["cpu", "job", "pointmcd_pointnet_modelnet", tmp_path / "work", "--cfg-options", *sizes]
    words += [f"data_root={taught_set}", "train_dataloader.batch_size=8", "train_cfg.max_epochs=1"]
    path = os.pathsep.join((str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [REPOSITORY / "tools/slurm_train.sh", *map(str, words)],
        env={**os.environ, "PATH": path, "GPUS": "2", "CPUS_PER_TASK": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/epoch_1.pth").is_file()
    assert len(list((tmp_path / "work").glob("*/*.log"))) == 1

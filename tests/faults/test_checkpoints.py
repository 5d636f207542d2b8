"""Files of weights: any flipped bit is noticed, a write that fails leaves what was there."""

import errno
import io
import os
import resource
import signal
import sys

import numpy as np
import pytest
import torch

from pointmcd.checkpoint import load_weights, read_checkpoint, read_state_dict, write_checkpoint
from pointmcd.engine.pretrained import load_backbone


def content(value=0.0):
    weights = torch.full((64, 33), value)
    return {"state_dict": {"a": weights, "b": torch.arange(7)}, "meta": {"epoch": 3, "names": ["x", "y"]}}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert first["meta"] == second["meta"]
    assert all(torch.equal(value, second["state_dict"][key]) for key, value in first["state_dict"].items())


def test_what_is_written_is_read_by_us_and_by_torch(tmp_path):
    path = tmp_path / "new/folder/epoch_1.pth"
    write_checkpoint(path, content())
    assert_same(read_checkpoint(path), content())
    assert_same(torch.load(path, weights_only=True), content())
    assert [file.name for file in path.parent.iterdir()] == ["epoch_1.pth"]


@pytest.mark.parametrize("hashed", [True, False], ids=["with a hash", "of torch.save"])
def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path, hashed):
    """With a hash all are noticed; in a plain archive those are not that fall into padding or time stamps."""
    path = tmp_path / "epoch_1.pth"
    if hashed:
        write_checkpoint(path, content())
    else:
        torch.save(content(), path)
    whole = path.read_bytes()
    noticed = 0
    places = np.linspace(0, 8 * len(whole) - 1, 400).astype(int)
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except ValueError as error:
            noticed += "is damaged" in str(error)
        else:
            assert_same(found, content())
    assert noticed == len(places) if hashed else noticed > 0.8 * len(places)


def test_files_cut_short_are_noticed(tmp_path):
    path = tmp_path / "epoch_1.pth"
    write_checkpoint(path, content())
    whole = path.read_bytes()
    for size in (0, 1, 3, 100, len(whole) // 2, len(whole) - 64, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="is damaged"):
            read_checkpoint(path)


def test_checkpoints_of_older_torch_still_open(tmp_path):
    path = tmp_path / "legacy.pth"
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    assert_same(read_checkpoint(path), content())


def test_a_full_disk_is_one_message_and_the_old_file_stays(tmp_path):
    path = tmp_path / "epoch_1.pth"
    write_checkpoint(path, content())
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # what is longer fails to be written
        with pytest.raises(OSError, match=rf"cannot write {path}: {os.strerror(errno.EFBIG)}"):
            write_checkpoint(path, content(1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert_same(read_checkpoint(path), content())
    assert [file.name for file in tmp_path.iterdir()] == ["epoch_1.pth"]


def test_a_damaged_checkpoint_gives_no_backbone(tmp_path):
    path = tmp_path / "epoch_1.pth"
    buffer = io.BytesIO()
    layer = torch.nn.Linear(50, 50)
    torch.save(
        {"state_dict": {f"backbone.{key}": value for key, value in layer.state_dict().items()}}, buffer
    )
    damaged = bytearray(buffer.getvalue())
    start = damaged.index(layer.weight.detach().numpy().tobytes())
    damaged[start + 400] ^= 64
    path.write_bytes(damaged)
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="is damaged"):
        load_backbone(layer, path)
    assert torch.equal(layer.weight, before)


def nested(depth, width=10):
    value = ["x"] * width
    for _ in range(depth):
        value = [value] * width
    return value


def holding_itself():
    value = {"type": "PointNet"}
    value["backbone"] = value
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (nested(12), "repeat each other without end"),
        (holding_itself(), "contain themselves"),
        (nested(2000, 1), "nested too deeply"),
    ],
    ids=["repeated", "cycle", "deep"],
)
def test_values_without_end_are_refused_before_anybody_walks_them(value, reason, tmp_path):
    path = tmp_path / "epoch_1.pth"
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(20_000)  # for whoever writes such a file
        torch.save(content() | {"meta": {"statement": value}}, path)
    finally:
        sys.setrecursionlimit(limit)
    with pytest.raises(ValueError, match=f"epoch_1.pth is damaged, or holds no weights: .*{reason}"):
        read_checkpoint(path)


def test_values_that_are_shared_are_none_of_these(tmp_path):
    names = ["x"] * 1000
    torch.save(content() | {"meta": {"first": names, "second": names}}, tmp_path / "epoch_1.pth")
    assert read_checkpoint(tmp_path / "epoch_1.pth")["meta"]["second"] == names


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ([1], "not a dict of named tensors"),
        ({5: torch.zeros(3)}, "not a dict of named tensors"),
        ({"a": 5}, "something other than plain tensors: a"),
        ({"a": torch.zeros(3, device="meta")}, "something other than plain tensors: a"),
        ({"a": torch.eye(3).to_sparse()}, "something other than plain tensors: a"),
        ({"a": torch.zeros(1).expand(10**12)}, "claim more than the file holds"),
        ({"a": torch.tensor([1.0, float("nan")])}, "not finite .*: a"),
    ],
    ids=["list", "number", "no tensor", "meta", "sparse", "endless", "NaN"],
)
def test_what_is_no_state_dict_is_named(state, reason, tmp_path):
    torch.save({"state_dict": state}, tmp_path / "epoch_1.pth")
    with pytest.raises(ValueError, match=f"epoch_1.pth is damaged, or holds no weights: .*{reason}"):
        read_state_dict(tmp_path / "epoch_1.pth")


def test_integers_are_no_weights(tmp_path):
    layer = torch.nn.Linear(2, 2)
    state = {key: value.to(torch.int64) for key, value in layer.state_dict().items()}
    with pytest.raises(ValueError, match=r"refused:\nof another kind of number: bias torch.int64 instead of"):
        load_weights(layer, state, "refused")


def test_nobody_is_advised_to_run_a_file(tmp_path):
    path = tmp_path / "epoch_1.pth"
    path.write_bytes(b"csubprocess\nPopen\n.")
    with pytest.raises(
        ValueError, match="is incomplete, or holds more than tensors and plain values"
    ) as caught:
        read_checkpoint(path)
    assert "weights_only" not in str(caught.value)

import pytest
import torch
from safetensors.torch import save_file

from pointmcd.checkpoint import read_checkpoint, read_state_dict

WEIGHTS = {"backbone.weight": torch.arange(6.0).reshape(2, 3)}


def test_weights_of_every_kind_of_file(tmp_path):
    torch.save({"state_dict": WEIGHTS, "meta": {"epoch": 3}}, tmp_path / "whole.pth")
    torch.save(WEIGHTS, tmp_path / "bare.pth")
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    for path in tmp_path.iterdir():
        found = read_state_dict(path)
        assert found.keys() == WEIGHTS.keys()
        assert torch.equal(found["backbone.weight"], WEIGHTS["backbone.weight"])
    assert read_checkpoint(tmp_path / "whole.pth")["meta"] == {"epoch": 3}


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the file ran code",))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_wrong_is_named(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(FileNotFoundError, match=f"there is no checkpoint .*weights{suffix}"):
        read_state_dict(path)
    save_file(WEIGHTS, path) if suffix == ".safetensors" else torch.save(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"weights{suffix} is damaged, or holds no weights"):
        read_state_dict(path)


def test_what_is_no_dict_and_what_would_run_code(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="it holds a list, not a dict"):
        read_checkpoint(path)
    torch.save({"state_dict": Trap()}, path)
    with pytest.raises(ValueError, match="is damaged, or holds no weights"):
        read_checkpoint(path)

"""Nothing in a checkpoint is imported, called or run, wherever it is read; what is damaged is named."""

import pytest
import torch

from pointmcd.models.teachers.base import decode_settings, encode_settings
from pointmcd.registry import MODELS


@pytest.mark.parametrize(
    "saved",
    [
        torch.zeros(4, dtype=torch.uint8),
        torch.zeros(4),
        torch.zeros(2, 2, dtype=torch.uint8),
        torch.zeros((), dtype=torch.uint8),
        torch.zeros(1, dtype=torch.uint8).expand(10**12),
        torch.tensor(list(b"[" * 60_000), dtype=torch.uint8),
        torch.tensor(list(b"[1, 2]"), dtype=torch.uint8),
        torch.tensor(list(b"\xff\xfe"), dtype=torch.uint8),
    ],
    ids=["zeros", "floats", "matrix", "scalar", "endless", "deep", "list", "not UTF-8"],
)
def test_damaged_settings_of_a_teacher_are_named(saved):
    with pytest.raises(ValueError, match="saved_settings of its teacher are damaged"):
        decode_settings(saved)


def test_settings_of_a_teacher_build_nothing():
    """They are compared with those of the config, and that is all."""
    teacher = MODELS.build({"type": "MultiViewTeacher", "num_classes": 2, "trunk": "test_resnet"})
    settings = teacher.settings | {"trunk": {"type": "subprocess.Popen", "args": ["touch", "ran"]}}
    state = teacher.state_dict() | {"saved_settings": encode_settings(settings)}
    with pytest.raises(ValueError, match=r"was trained with trunk=.*'subprocess.Popen'.* agree"):
        teacher.load_state_dict(state)

"""A small set, weights of a small image network, and ``cache_teacher.py --frozen`` with both."""

import shutil
from itertools import pairwise

import pytest
import torch

from pointmcd.commands import cache_teacher
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.models.teachers.trunks import build_trunk


@pytest.fixture
def root(tiny_set, tmp_path):
    return shutil.copytree(tiny_set, tmp_path / "set")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.save(build_trunk("test_resnet").state_dict(), path)
    return path


@pytest.fixture
def run(root, weights):
    def call(*words, trunks=("test_resnet",)):
        options = ["--weights", *[str(weights)] * len(trunks), "--dim", "8"]
        if ("--labels", "0") not in pairwise(words):  # without classes there are no folds
            options += ["--folds", "3"]
        words = ["--frozen", *trunks, "--data", str(root), *options, *map(str, words)]
        cache_teacher.main(words)
        return TeacherCache(root, "frozen")

    return call

"""What is wrong in a config or in an override is one message that names the place."""

from pathlib import Path

import numpy as np
import pytest

from pointmcd.engine import load_config
from pointmcd.evaluation.linear_svm import linear_svm

CONFIG = Path(__file__).resolve().parents[2] / "configs/baseline_pointnet_modelnet.py"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train_cfg.max_epochs=1.5", r"max_epochs is 1.5, must be a whole number, at least 1"),
        ("train_cfg.max_epochs=0", r"max_epochs is 0, must be"),
        ("train_dataloader.batch_size=x", r"train_dataloader.batch_size is 'x', must be"),
        ("train_dataloader.num_workers=-1", r"num_workers is -1, must be a whole number, at least 0"),
        ("randomness.seed=x", r"randomness.seed is 'x', must be"),
        ("optim_wrapper.optimizer.lr=fast", r"optimizer.lr is 'fast', must be a number"),
        ("optim_wrapper.optimizer.lr=-1", r"optimizer.lr is -1, must be a number, at least 0"),
        ("custom_hooks=5", r"custom_hooks is 5, must be a list"),
        ("custom_hooks=['EMAHook']", r"custom_hooks is \['EMAHook'\], must be a list"),
        ("custom_hooks=[dict(type=EMAHook)]", r"is not a value in Python's notation"),
        ("custom_hooks=[print(1)]", r"is not a value in Python's notation"),
        ("train_cfg.max_epochs=dict(a=1)", r"train_cfg.max_epochs: .* give dict\(_delete_=True"),
    ],
)
def test_values_that_are_none_are_named(override, message, tiny_set):
    with pytest.raises(ValueError, match=message):
        load_config(CONFIG, [f"data_root={tiny_set}", override])


def test_components_can_be_overrides(tiny_set):
    config = load_config(
        CONFIG, [f"data_root={tiny_set}", "custom_hooks=[dict(type='EMAHook', momentum=0.1)]"]
    )
    assert config.custom_hooks == [{"type": "EMAHook", "momentum": 0.1}]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cut.py", "model = (\n", "cut.py cannot be run: SyntaxError"),
        ("fails.py", "raise KeyError('x')\n", "fails.py cannot be run: KeyError: 'x'"),
        (
            "imports.py",
            "import no_such_module\nmodel = dict(type='PointModel')\n",
            "imports.py: No module named 'no_such_module'",
        ),
        ("empty.json", "{}", "empty.json has no model"),
        ("list.json", "[1]", "list.json"),
    ],
)
def test_configs_that_are_none_are_named(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_config(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"folds": 1}, "at least 2 folds"), ({"grid": [1.0, -1.0]}, "above 0"), ({"grid": [np.nan]}, "above 0")],
    ids=["one fold", "negative", "NaN"],
)
def test_cross_validation_that_chooses_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear_svm(np.eye(4), np.array([0, 0, 1, 1]), np.eye(4), **arguments)

"""``load_config``: completion from the manifest, overrides, and errors that suggest the nearest name."""

from pathlib import Path

import pytest
from mmengine.config import Config

from pointmcd.engine import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BASELINE = CONFIGS / "baseline_pointnet_modelnet.py"


def load(tiny_set, *overrides, config=BASELINE):
    return load_config(config, [f"data_root={tiny_set}", *overrides])


def test_counts_and_data_root_are_filled_in(tiny_set):
    config = load(tiny_set, config=CONFIGS / "pointmcd_pointnet_modelnet.py")
    assert config.model.head.num_classes == config.test_evaluator.num_classes == 4
    assert config.model.neck.num_views == 4
    assert config.model.teacher.data_root == str(tiny_set)
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    assert {loader.dataset.data_root for loader in loaders} == {str(tiny_set)}
    assert config.param_scheduler[0].T_max == config.train_cfg.max_epochs == 500


def test_parts_and_the_size_of_views_are_filled_in(parts_set):
    config = load(parts_set, config=CONFIGS / "baseline_pointnet_builtinpart.py")
    assert (config.model.head.num_classes, config.model.head.num_parts) == (3, 10)
    assert config.test_evaluator.class_parts == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    teacher = load(parts_set, config=CONFIGS / "teacher_parts_builtinpart.py")
    assert (teacher.model.num_parts, teacher.model.num_classes) == (10, 3)
    autoencoder = load(parts_set, config=CONFIGS / "teacher_autoencoder_shapenetpart.py")
    assert autoencoder.model.image_size == 64
    for wrong in ("model.head.num_parts=50", "test_evaluator.class_parts=[[0]]"):
        with pytest.raises(ValueError, match=r"manifest\.json says"):
            load(parts_set, wrong, config=CONFIGS / "baseline_pointnet_builtinpart.py")


def test_an_evaluation_is_left_out_whole(tiny_set):
    config = load(tiny_set, "val_cfg=None")
    assert config.val_dataloader is None
    assert config.val_evaluator is None
    assert config.test_dataloader is not None


def test_what_is_printed_runs_again(tiny_set, tmp_path):
    config = load(tiny_set, "train_cfg.max_epochs=7")
    printed = tmp_path / "printed.py"
    printed.write_text(config.pretty_text)
    again = Config.fromfile(printed)
    assert again.to_dict() == config.to_dict()
    assert load_config(printed).to_dict() == config.to_dict()


def test_overrides_of_every_kind(tiny_set):
    config = load(
        tiny_set,
        "train_cfg.max_epochs=3",
        "model.backbone.type=DGCNN",
        "model.backbone.k=7",  # not in the file, but DGCNN takes it
        "param_scheduler.0.eta_min=1e-4",
        "optim_wrapper.clip_grad={'max_norm': 1.0}",
        "train_dataloader.pin_memory=true",
        "resume=True",
    )
    assert config.model.backbone.to_dict() == {"type": "DGCNN", "k": 7}
    assert (config.param_scheduler[0].eta_min, config.param_scheduler[0].T_max) == (1e-4, 3)
    assert config.optim_wrapper.clip_grad.max_norm == 1.0
    assert config.train_dataloader.pin_memory is True
    assert config.resume is True


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim_wrapper.optimizer.lrr=1", "'lrr' is not known; did you mean 'lr'"),
        ("model.backbon.type=DGCNN", "'backbon' is not known; did you mean 'backbone'"),
        ("model.backbone.type=DGCN", "component type 'DGCN' is not known; did you mean 'DGCNN'"),
        ("model.head.smothing=0.1", "'smothing' is not known; did you mean 'smoothing'"),
        ("train_cfg.max_epoch=3", "'max_epoch' is not known; did you mean 'max_epochs'"),
        ("train_dataloader.batchsize=3", "'batchsize' is not known; did you mean 'batch_size'"),
        ("train_dataloader.dataset.num_point=3", "'num_point' is not known; did you mean 'num_points'"),
        ("param_scheduler.1.eta_min=0", "param_scheduler is a list of 1"),
        ("data_rot=x", "'data_rot' is not known; did you mean 'data_root'"),
        ("epochs", "takes key=value"),
    ],
)
def test_unknown_overrides_suggest_the_nearest(tiny_set, override, message):
    with pytest.raises(ValueError, match=message):
        load(tiny_set, override)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("optim_wraper = dict()", "config key 'optim_wraper' is not known; did you mean 'optim_wrapper'"),
        ("model = dict(backbone=dict(t_net='original'))", "'t_net' of PointNet is not known"),
        ("train_dataloader = dict(batchsize=3)", "'batchsize' is not known; did you mean 'batch_size'"),
        ("val_cfg = dict(fp61=True)", "'fp61' is not known; did you mean 'fp16'"),
    ],
)
def test_misspelt_config_keys_are_errors(tiny_set, tmp_path, line, message):
    config = tmp_path / "config.py"
    config.write_text(f"_base_ = {str(BASELINE)!r}\n{line}\n")
    with pytest.raises(ValueError, match=message):
        load(tiny_set, config=config)


def test_names_that_begin_with_an_underscore_are_free(tiny_set, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(f"_base_ = {str(BASELINE)!r}\n_x = 0.05\noptim_wrapper = dict(optimizer=dict(lr=_x))\n")
    assert load(tiny_set, config=config).optim_wrapper.optimizer.lr == 0.05


def test_a_count_that_disagrees_is_an_error(tiny_set):
    with pytest.raises(ValueError, match=r"model.head.num_classes is 40, but .*manifest.json says 4"):
        load(tiny_set, "model.head.num_classes=40")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no config"):
        load_config(tmp_path / "none.py")
    with pytest.raises(ValueError, match="pointmcd prepare"):
        load_config(BASELINE, {"data_root": str(tmp_path / "none")})


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("pointmcd_*_modelnet.py")), ids=lambda path: path.stem)
def test_baseline_has_the_same_recipe(tiny_set, config):
    distilled = load(tiny_set, config=config)
    baseline = load(tiny_set, config=config.with_name(config.name.replace("pointmcd", "baseline")))
    for key in ("optim_wrapper", "param_scheduler", "train_cfg", "randomness", "val_dataloader"):
        assert distilled[key] == baseline[key]
    for key in ("backbone", "head", "data_preprocessor"):
        assert distilled.model[key] == baseline.model[key]
    for key in set(distilled.train_dataloader) - {"dataset"}:
        assert distilled.train_dataloader[key] == baseline.train_dataloader[key]
    assert distilled.train_dataloader.dataset.num_points == baseline.train_dataloader.dataset.num_points


def test_a_set_without_parts_is_named(tiny_set):
    with pytest.raises(ValueError, match=r"num_parts comes from the prepared data, but .* without parts"):
        load(tiny_set, config=CONFIGS / "baseline_pointnet_shapenetpart.py")


def test_a_folder_may_be_a_number(tiny_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").symlink_to(tiny_set)
    for overrides in (["data_root=2024"], {"data_root": 2024}):
        assert load_config(BASELINE, overrides).data_root == "2024"


@pytest.mark.parametrize(
    "text",
    [
        "dict(_delete_=True, type='MultiViewTeacher', trunk='test_resnet', num_classes=None)",
        "{'_delete_': True, 'type': 'MultiViewTeacher', 'trunk': 'test_resnet', 'num_classes': None}",
    ],
    ids=["dict", "braces"],
)
def test_a_component_may_stand_where_names_do(taught_set, text):
    """``teacher`` is the name of a cache in a dataset, and a component in a model."""
    words = [f"data_root={taught_set}", f"model.teacher={text}", "train_dataloader.dataset.teacher=None"]
    teacher = load_config(CONFIGS / "pointmcd_pointnet_meshes.py", words).model.teacher
    assert (teacher.type, teacher.trunk, teacher.num_classes) == ("MultiViewTeacher", "test_resnet", 4)


def test_the_teacher_is_named_once(taught_set):
    distilled = CONFIGS / "pointmcd_pointnet_modelnet.py"
    config = load(taught_set, "train_dataloader.dataset.teacher=tinyresnet", config=distilled)
    assert config.model.teacher.name == "tinyresnet"
    with pytest.raises(ValueError, match=r"teacher.name is 'parts', but .*dataset.teacher is 'mobilenetv2'"):
        load(taught_set, "model.teacher.name=parts", config=distilled)


def test_schedules_are_as_long_as_the_training(taught_set, parts_set):
    teacher = CONFIGS / "teacher_parts_builtinpart.py"
    config = load(parts_set, "train_cfg.max_epochs=9", config=teacher)
    assert config.param_scheduler[0].total_steps == 9
    with pytest.raises(ValueError, match=r"OneCycleLR lasts 6 epochs, the training 9"):
        load(parts_set, "train_cfg.max_epochs=9", "param_scheduler.0.total_steps=6", config=teacher)
    late = load(taught_set, "param_scheduler.0.begin=100")
    assert late.param_scheduler[0].T_max == 400
    with pytest.raises(ValueError, match=r"must last 500 epochs; give it convert_to_iter_based=True"):
        load(taught_set, "param_scheduler.0.by_epoch=False")

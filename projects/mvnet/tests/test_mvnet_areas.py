"""S3DIS as tiny rooms of the right form: six trainings, none of which sees the area that it is tested on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.engine.runner import build_runner
from pointmcd.files import file_sha256, read_json
from pointmcd.registry import DATASETS, MODELS
from projects.mvnet.mvnet.room_files import S3DIS13, read_whole
from projects.mvnet.mvnet.scene_prediction import mean_iou
from projects.mvnet.tests.small_scenes import SMALL, options, things
from projects.mvnet.tools import evaluate_scenes, prepare_scenes, six_fold

CONFIG = Path(__file__).resolve().parents[1] / "configs/scene_segmentation_srunet_s3dis.py"


def of_area(number):
    return {f"{loader}_dataloader.dataset.area": number for loader in ("train", "val", "test")}


@pytest.fixture(scope="module")
def stanford(tmp_path_factory):
    """Three areas of S3DIS of a room each."""
    root = tmp_path_factory.mktemp("s3dis")
    names = ("floor", "chair", "table", "stairs")
    for area in (1, 2, 5):
        folder = root / f"Area_{area}/office_{area}/Annotations"
        folder.mkdir(parents=True)
        points, owner = things(area)
        for number, name in enumerate(names):
            mine = points[owner == number]
            colors = np.full(mine.shape, 30 * number)
            np.savetxt(folder / f"{name}_1.txt", np.hstack([mine, colors]), "%g")
        (root / f"Area_{area}/Area_{area}_alignmentAngle.txt").write_text("## none\n")
    prepare_scenes.main(f"--form s3dis --source {root} --out {root / 'set'} --points 128".split())
    return root


@pytest.fixture(scope="module")
def checkpoint(stanford):
    """What a training that leaves out area 1 stores, but for the training."""
    config = load_config(CONFIG, {"data_root": str(stanford / "set"), **SMALL, **of_area(1)})
    torch.manual_seed(0)
    saved = {"state_dict": MODELS.build(config.model).state_dict(), "meta": {"cfg": config.pretty_text}}
    torch.save(saved, stanford / "epoch_1.pth")
    return stanford / "epoch_1.pth"


@pytest.fixture(scope="module")
def found(stanford, checkpoint):
    evaluate(stanford, checkpoint, "--area", "1")
    return stanford / "out/results.json"


def evaluate(stanford, checkpoint, *words, **changes):
    given = [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
    command = f"{CONFIG} {checkpoint} --source {stanford} --out {stanford}/out".split()
    evaluate_scenes.main([*command, *words, *options(stanford / "set"), *given])


def test_an_area_is_left_out(stanford):
    prepared = PreparedSet(stanford / "set")
    assert prepared.splits == ["Area_1", "Area_2", "Area_5"]
    assert prepared.part_names == [*S3DIS13, "unlabelled"]
    room = read_whole(stanford / "Area_1/office_1", "s3dis")
    assert sorted({S3DIS13[row] for row in room.classes}) == ["chair", "clutter", "floor", "table"]
    built = load_config(CONFIG, {"data_root": str(stanford / "set"), **SMALL})
    train, test = (DATASETS.build(built[f"{split}_dataloader"].dataset) for split in ("train", "test"))
    counts = prepared.manifest["splits"]
    assert len(test) == counts["Area_5"]
    assert len(train) == counts["Area_1"] + counts["Area_2"]
    assert {name.split("/")[0] for name in train.names} == {"Area_1", "Area_2"}
    batch = train.__getitems__([0, len(train) - 1])
    for row, split in enumerate(("Area_1", "Area_2")):
        stored = prepared.split(split).points[0 if row == 0 else -1][:128]
        assert np.array_equal(batch["points"][row], stored)
    torch.manual_seed(0)
    model = MODELS.build(built.model)
    model(mode="loss", **model.data_preprocessor(batch, True))["loss_task"].backward()
    with pytest.raises(ValueError, match="train of area 3 is not in"):
        DATASETS.build({**built.train_dataloader.dataset, "area": 3})


def test_results_say_what_they_are_of(found, checkpoint):
    figures = read_json(found)
    assert np.sum(figures["confusion"]) == 1600
    assert figures["area"] == 1
    assert figures["scenes"] == ["Area_1/office_1"]
    assert figures["checkpoint_sha256"] == file_sha256(checkpoint)


def test_a_scene_that_was_trained_on_is_refused(stanford, checkpoint, tmp_path):
    with pytest.raises(SystemExit, match=r"trained on 1 of these 1 scenes.*left out area 1: give --area 1"):
        evaluate(stanford, checkpoint, "--area", "2")
    (tmp_path / "list.txt").write_text("Area_1/office_1\nArea_5/office_5\n")
    with pytest.raises(SystemExit, match=r"trained on 1 of these 2 scenes, such as Area_5/office_5"):
        evaluate(stanford, checkpoint, "--scenes", str(tmp_path / "list.txt"))
    with pytest.raises(SystemExit, match="has no Area_7; it has Area_1, Area_2, Area_5"):
        evaluate(stanford, checkpoint, "--area", "7")


def test_a_scene_counts_once(stanford, checkpoint, tmp_path):
    (tmp_path / "list.txt").write_text("Area_1/office_1\nArea_1/office_1\n")
    with pytest.raises(SystemExit, match="the same frames twice"):
        evaluate(stanford, checkpoint, "--scenes", str(tmp_path / "list.txt"))


def test_a_checkpoint_of_another_network_is_refused(stanford, checkpoint):
    with pytest.raises(SystemExit, match=r"model\.backbone\.voxel_size: 0\.1 in the checkpoint, 0\.3 here"):
        evaluate(stanford, checkpoint, "--area", "1", model__backbone__voxel_size=0.3)


def test_what_does_not_say_is_evaluated_with_a_word(stanford, checkpoint, tmp_path, capsys):
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    evaluate(stanford, tmp_path / "weights.pth", "--area", "2")
    assert "does not say what it was trained on" in capsys.readouterr().out


def test_loaders_leave_out_the_same_area(stanford, checkpoint, tmp_path):
    common = {
        "data_root": str(stanford / "set"),
        **SMALL,
        "train_cfg.max_epochs": 1,
        "work_dir": str(tmp_path),
    }
    common |= {f"{loader}_dataloader.num_workers": 0 for loader in ("train", "val", "test")}
    common |= {"train_dataloader.batch_size": 2}
    apart = load_config(CONFIG, {**common, **of_area(2), "train_dataloader.dataset.area": 1})
    with pytest.raises(ValueError, match=r"train_dataloader 1, val_dataloader 2, test_dataloader 2"):
        build_runner(apart).train()
    other = load_config(CONFIG, {**common, **of_area(2), "load_from": str(checkpoint)})
    with pytest.raises(ValueError, match="trained without area 1, and so on area 2"):
        build_runner(other).train()
    with pytest.raises(ValueError, match="trained without area 1, and so on area 2"):
        build_runner(other, training=False).test()
    assert not list(tmp_path.glob("*.pth"))


@pytest.fixture
def six(found, tmp_path):
    """Results of six areas: those of the first, told apart as those of six trainings are."""
    for area in range(1, 7):
        write(tmp_path / f"{area}.json", {**read_json(found), "area": area, "checkpoint_sha256": f"{area}"})
    return tmp_path


def write(path, figures):
    path.write_text(json.dumps(figures))


def add_up(six, *areas):
    six_fold.main([*(f"{six}/{area}.json" for area in areas or range(1, 7)), "--out", f"{six}/all"])


def test_counts_of_six_areas_are_added(six, found):
    add_up(six)
    figures, one = read_json(six / "all/results.json"), np.array(read_json(found)["confusion"])
    assert np.array_equal(figures["confusion"], 6 * one)
    assert figures["mean_iou"] == pytest.approx(mean_iou(6 * one)[0])
    assert figures["areas"] == [1, 2, 3, 4, 5, 6]


def test_six_areas_are_six_different_ones(six):
    with pytest.raises(SystemExit, match="there is no result of area 2, 3, 4, 5, 6"):
        add_up(six, 1)
    shutil.copy(six / "1.json", six / "copy.json")
    with pytest.raises(SystemExit, match=r"1\.json and .*copy\.json are both of area 1"):
        add_up(six, 1, "copy", *range(2, 7))
    figures = read_json(six / "2.json")
    write(six / "2.json", {**figures, "checkpoint_sha256": "1"})
    with pytest.raises(SystemExit, match="are of one checkpoint, which was trained on one of the two"):
        add_up(six)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda figures: [figures], r"is not of one area of S3DIS; write it by evaluate_scenes\.py --area"),
        (lambda figures: {**figures, "area": None}, "is of area None"),
        (lambda figures: {**figures, "classes": ["wall"]}, "of other classes than S3DIS'"),
        (
            lambda figures: {**figures, "confusion": figures["confusion"][:3]},
            "confusion must be 13 rows of 13",
        ),
        (lambda figures: {**figures, "confusion": [[1], *figures["confusion"][1:]]}, "confusion must be 13"),
    ],
)
def test_what_is_no_result_is_named(six, damage, reason):
    write(six / "3.json", damage(read_json(six / "3.json")))
    with pytest.raises(SystemExit, match=rf"3\.json .*{reason}"):
        add_up(six)

"""Students beside texts: losses by hand, gradients, and the whole way from a small random model to names."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pointmcd.apis import Student, export_student, load_student
from pointmcd.commands import cache_teacher, embed_text, predict, zero_shot
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.datasets.text_vectors import (
    TextVectors,
    read_text_vectors,
    write_text_vectors,
)
from pointmcd.engine import build_runner, load_config
from pointmcd.models.heads import EmbeddingHead, TextAlignmentHead
from pointmcd.registry import DATASETS, MODELS

CLASSES = ["box", "cone", "cylinder", "torus"]


def batch_of(labels=(0, 1, -1)):
    return {"label": torch.tensor(labels)}


def test_losses_by_hand():
    """Two shapes whose images are unlike, and of which the student tells neither."""
    head = TextAlignmentHead(cosine_weight=2.0, contrast_weight=3.0, temperature=0.5)
    features = {"descriptor": torch.tensor([[5.0, 0.0], [1.0, 0.0]])}
    losses = head.loss(features, {"descriptor": torch.tensor([[3.0, 0.0], [0.0, 1.0]])}, {})
    assert losses["loss_cosine"].item() == pytest.approx(2 * (0 + 1) / 2)
    # cosines / 0.5: both shapes (2, 0) of the images; of the shapes (2, 2) and (0, 0)
    to_image = (math.log(math.exp(2) + 1) - 2 + math.log(math.exp(2) + 1)) / 2
    assert losses["loss_contrast"].item() == pytest.approx(3 * (to_image + math.log(2)) / 2)
    assert losses.keys() == {"loss_cosine", "loss_contrast"}


def test_labels_count_where_they_are_known(tiny_set, tmp_path):
    """The texts stand in the file in another order than the classes, between others."""
    names = ["torus", "sofa", *CLASSES[:3]]
    vectors = np.eye(5, dtype=np.float32)
    write_text_vectors(tmp_path / "text.npy", TextVectors(names, vectors, ["{}"], "m", "0" * 64))
    head = TextAlignmentHead(0.0, 0.0, 0.5, str(tmp_path / "text.npy"), 2.0, str(tiny_set))
    boxes = torch.from_numpy(vectors[[2, 2, 2]])
    losses = head.loss({"descriptor": boxes}, {"descriptor": boxes}, batch_of((0, 3, -1)))
    as_box = math.log(math.exp(2) + 3)
    assert losses["loss_text"].item() == pytest.approx(2 * (as_box - 2 + as_box) / 2)
    write_text_vectors(tmp_path / "text.npy", TextVectors(names[:4], vectors[:4], ["{}"], "m", "0" * 64))
    with pytest.raises(ValueError, match="there is no text for 'cylinder'"):
        TextAlignmentHead(text=str(tmp_path / "text.npy"), data_root=str(tiny_set))


def test_gradient():
    torch.manual_seed(0)
    head = TextAlignmentHead()
    head.text = F.normalize(torch.randn(4, 5).double(), dim=1)
    teacher = {"descriptor": torch.randn(3, 5).double()}
    feats = torch.randn(3, 5).double().requires_grad_()

    def loss(feats):
        return sum(head.loss({"descriptor": feats}, teacher, batch_of()).values())

    assert torch.autograd.gradcheck(loss, feats)


def test_embeddings_become_classes_by_texts():
    torch.manual_seed(0)
    head = EmbeddingHead(6, 4).eval()
    features = {"global_feats": torch.randn(3, 6)}
    assert head(features).keys() == {"descriptor"}
    with pytest.raises(ValueError, match="has no classes"):
        head.predict(head(features), {})
    head.text = F.normalize(torch.randn(2, 4), dim=1)
    found = head(features)
    cosines = F.cosine_similarity(found["descriptor"].unsqueeze(1), head.text.unsqueeze(0), dim=2)
    torch.testing.assert_close(found["logits"], 100 * cosines)
    assert not any("text" in key for key in head.state_dict())


def test_what_is_wrong_with_texts_is_said(tmp_path):
    path = tmp_path / "text.npy"
    text = TextVectors(["chair", "stool"], np.eye(2, 3, dtype=np.float32), ["{}"], "m", "0" * 64)
    write_text_vectors(path, text)
    again = read_text_vectors(path)
    np.testing.assert_array_equal(again.vectors, text.vectors)
    assert again._replace(vectors=None) == text._replace(vectors=None)
    np.testing.assert_array_equal(again.of(["stool"]).vectors, text.vectors[1:])
    with pytest.raises(ValueError, match=r"no text for 'stol'; did you mean 'stool'\? known: chair, stool"):
        again.of(["chair", "stol"])
    for names in ("chair", [], ["chair", "chair"], {"chair"}, [1, 2]):
        with pytest.raises(ValueError, match="names must be a list"):
            again.of(names)
    with pytest.raises(FileNotFoundError, match="write it: pointmcd embed-text"):
        read_text_vectors(tmp_path / "absent.npy")
    with pytest.raises(ValueError, match=r"read from the \.npy file"):
        read_text_vectors(tmp_path / "text.json")
    np.save(tmp_path / "alone.npy", text.vectors)
    with pytest.raises(FileNotFoundError, match=r"has no alone\.json beside it"):
        read_text_vectors(tmp_path / "alone.npy")
    (tmp_path / "alone.json").write_text("{}")
    with pytest.raises(ValueError, match=r"alone\.json, which would be written too, is another file"):
        write_text_vectors(tmp_path / "alone.npy", text)
    np.save(path, text.vectors[::-1])
    with pytest.raises(ValueError, match="their SHA-256 sums differ"):
        read_text_vectors(path)
    about = tmp_path / "text.json"
    for vectors in (np.eye(3, dtype=np.float32), 2 * text.vectors, np.full((2, 3), np.nan, np.float32)):
        write_text_vectors(path, text._replace(vectors=vectors))
        with pytest.raises(ValueError, match="a unit vector for each of 2 names"):
            read_text_vectors(path)
    write_text_vectors(path, text._replace(vectors=np.array([{}, {}], dtype=object)))  # what holds a pickle
    with pytest.raises(ValueError, match="is not an array"):
        read_text_vectors(path)
    good = json.loads(about.read_text())
    for change in (
        {"format": 1},
        {"names": ["a", "a"]},
        {"names": [1, 2]},
        {"names": ["\x1b[31m", "a"]},
        {"weights_sha256": "x"},
    ):
        about.write_text(json.dumps({**good, **change}))
        with pytest.raises(ValueError, match=r"text\.json (was not written|is damaged)"):
            read_text_vectors(path)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A small image-text model with random weights, as the Hub holds one."""
    open_clip = pytest.importorskip("pointmcd.models.teachers.image_text").import_open_clip()
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("model")
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
    settings = {
        "model_cfg": {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    torch.manual_seed(1)
    network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_image_and_text_are_those_of_the_model(model_folder):
    from pointmcd.models.teachers.image_text import ImageTextModel, import_open_clip

    open_clip = import_open_clip()
    plain = open_clip.create_model(f"local-dir:{model_folder}").eval()
    model = ImageTextModel(str(model_folder))
    views = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    images = (views.flatten(0, 1) / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = plain.encode_image(images, normalize=True).unflatten(0, (2, 3))
        tokens = open_clip.SimpleTokenizer(context_length=16)(["a night stand.", "no night stand"])
        said = F.normalize(plain.encode_text(tokens), dim=1)
    torch.testing.assert_close(model(views), expected)
    text = model.embed_names(["night_stand"], ["a {}.", "no {}"])
    np.testing.assert_allclose(text.vectors[0], F.normalize(said.mean(0), dim=0), rtol=1e-5, atol=1e-6)
    assert text.weights_sha256 == model.weights_sha256()
    random = ImageTextModel(str(model_folder), "random")
    assert random.weights_sha256() != model.weights_sha256()
    assert random.weights_sha256() == ImageTextModel(str(model_folder), "random").weights_sha256()
    assert not any(parameter.requires_grad for parameter in model.train().parameters())
    for templates in ([], ["a shape"], ["{} {}"]):
        with pytest.raises(ValueError, match=r"a template needs one \{\}"):
            model.embed_names(["chair"], templates)
    with pytest.raises(ValueError, match="none of them empty or said as another is"):
        model.embed_names(["night_stand", "night stand"])


def test_models_that_are_none(model_folder, tmp_path):
    from pointmcd.models.teachers.image_text import ImageTextModel

    with pytest.raises(ValueError, match="has no model 'ViT-B-33'"):
        ImageTextModel("ViT-B-33")
    with pytest.raises(ValueError, match=r"ViT-B-32 needs weights: .* openai"):
        ImageTextModel("ViT-B-32")
    with pytest.raises(ValueError, match=r"absent\.pth is neither a file of weights nor a tag of"):
        ImageTextModel(str(model_folder), "absent.pth")
    torch.save({"logit_scale": torch.zeros(())}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth do not fit"):
        ImageTextModel(str(model_folder), str(tmp_path / "other.pth"))
    folder = shutil.copytree(model_folder, tmp_path / "model")
    settings = json.loads((folder / "open_clip_config.json").read_text())
    settings["model_cfg"]["text_cfg"] = {"hf_model_name": "somebody/network"}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="names a network outside the folder"):
        ImageTextModel(str(folder))
    settings["model_cfg"]["text_cfg"] = {"hf_tokenizer_name": "somebody/words", "width": 16, "heads": 2}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"cannot be built \(.*\); (pip install|without a connection)"):
        ImageTextModel(str(folder))
    (folder / "open_clip_config.json").write_text("{}")
    with pytest.raises(ValueError, match="lacks a model_cfg with text_cfg and vision_cfg"):
        ImageTextModel(str(folder))
    with pytest.raises(
        FileNotFoundError, match=r"holds no open_clip_config\.json, so it is no image-text model"
    ):
        ImageTextModel(str(tmp_path))


def test_from_an_image_text_model_to_names(model_folder, tiny_set, tmp_path, monkeypatch, capsys):
    """Texts, teacher, training without labels, export, names, zero-shot, predict."""
    monkeypatch.chdir(tmp_path)
    data = shutil.copytree(tiny_set, tmp_path / "set")
    embed_text.main([str(model_folder), "--data", str(data), "--out", "text.npy"])
    embed_text.main([str(model_folder), "--data", str(data), "--out", "bare.npy", "--templates", "{}"])
    assert "4 names, 12 channels" in capsys.readouterr().out
    about = ["--data", str(data), "--name", "clip", "--text", "text.npy"]
    cache_teacher.main(["--image-text", str(model_folder), *about])
    cache, text = TeacherCache(data, "clip"), read_text_vectors("text.npy")
    rows = cache.split("test").rows(np.arange(3))
    torch.testing.assert_close(rows["descriptor"].norm(dim=1), torch.ones(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        rows["logits"], 100 * rows["descriptor"] @ torch.from_numpy(text.vectors).T, rtol=0, atol=0.1
    )
    assert cache.meta["accuracy"]["test"].keys() == {"overall_accuracy", "mean_class_accuracy"}
    config = load_config(
        "pointmcd_dgcnn_text_meshes",
        {
            "data_root": str(data),
            "train_dataloader.batch_size": 8,
            "train_dataloader.dataset.num_points": 64,
            "model.backbone.k": 5,
            "train_cfg.max_epochs": 1,
            "work_dir": str(tmp_path / "work"),
        },
    )
    assert config.model.head.teacher_channels == 12
    build_runner(config).train()
    labelled = load_config(
        "pointmcd_dgcnn_text_meshes",
        {
            "data_root": str(data),
            "model.distill.0.text": "text.npy",
            "train_dataloader.dataset.unlabelled": "rest",
            "train_dataloader.dataset.num_points": 64,
        },
    )
    batch = DATASETS.build(labelled.train_dataloader.dataset).__getitems__([0, 9, 23])
    losses = MODELS.build(labelled.model)(mode="loss", **batch)
    assert losses["loss_text"] > 0
    export_student(config, tmp_path / "work/epoch_1.pth", tmp_path / "student.pth")
    student = load_student(tmp_path / "student.pth", text="text.npy")
    shape = np.random.default_rng(0).normal(size=(100, 3))
    found = student.classify(shape, names=["torus", "box"])
    assert {one.name for one in found} == {"torus", "box"}
    assert sum(one.probability for one in found) == pytest.approx(1)
    whole = student.classify(shape)
    assert sorted(one.name for one in whole) == CLASSES
    order = [one.name for one in whole if one.name in ("torus", "box")]
    assert [one.name for one in found] == order
    feats = student.features(shape)
    unit = feats["descriptor"] / np.linalg.norm(feats["descriptor"])
    np.testing.assert_allclose(feats["logits"], 100 * text.vectors @ unit, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="there is no text for 'chair'"):
        student.classify(shape, names=["chair"])
    strange = {**torch.load(tmp_path / "student.pth"), "aligned_to": "../text.npy"}
    with pytest.raises(ValueError, match=r"its aligned_to is .*, which is not a SHA-256"):
        Student(strange)
    bare = load_student(tmp_path / "student.pth")
    assert bare.task == "embed"
    for names in (None, ["box"]):
        with pytest.raises(ValueError, match=r"load_student\(path, text='text.npy'\)"):
            bare.classify(shape, names=names)
    capsys.readouterr()
    words = ["student.pth", "--data", str(data), "--text"]
    zero_shot.main([*words, "text.npy", "bare.npy", "--out", "zero.json"])
    assert "8 templates" in capsys.readouterr().out
    report = json.loads((tmp_path / "zero.json").read_text())
    split = PreparedSet(data).split("test")
    said = student.probabilities(np.array(split.points[:, :64])).argmax(1).numpy()
    assert report["rows"][0]["overall_accuracy"] == pytest.approx(100 * (said == split.labels).mean())
    assert [len(row["templates"]) for row in report["rows"]] == [8, 1]
    np.savetxt("shape.xyz", shape)
    predict.main(["student.pth", "shape.xyz", "--text", "text.npy", "--json", "said.json"])
    classes = json.loads((tmp_path / "said.json").read_text())["shapes"][0]["classes"]
    assert sorted(one["class"] for one in classes) == CLASSES
    with pytest.raises(SystemExit, match="knows no names without --text"):
        predict.main(["student.pth", "shape.xyz"])
    embed_text.main([str(model_folder), "--weights", "random", "--names", "box", "--out", "other.npy"])
    with pytest.raises(SystemExit, match="embed them with the model that taught it"):
        zero_shot.main([*words, "other.npy"])
    wide = F.normalize(torch.ones(4, 20), dim=1).numpy()
    write_text_vectors("wide.npy", text._replace(vectors=wide))
    with pytest.raises(SystemExit, match="the texts have 20 channels, this student's embedding has 12"):
        zero_shot.main([*words, "wide.npy"])
    before = Path("student.pth").read_bytes()
    with pytest.raises(SystemExit, match=r"student\.pth is what is read"):
        zero_shot.main([*words, "text.npy", "--out", "student.pth"])
    for option, place in (("--csv", "student.pth"), ("--json", "text.npy"), ("--csv", "shape.xyz")):
        with pytest.raises(SystemExit, match=f"{place} is what is read"):
            predict.main(["student.pth", "shape.xyz", "--text", "text.npy", option, place])
    assert Path("student.pth").read_bytes() == before
    with pytest.raises(ValueError, match=r"epoch_1\.pth is what is read"):
        export_student(config, tmp_path / "work/epoch_1.pth", tmp_path / "work/epoch_1.pth")

"""Work dirs as a test leaves them, and a browser to open a report in."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pointmcd.datasets.prepared_set import PreparedSet, manifest_digest
from pointmcd.folders import digest_of

ATTACK = "<img src=x onerror=attacked=1></script><script>attacked=1</script>"
LINK = '<a href="javascript:attacked=1">&amp;'


@pytest.fixture(scope="session")
def named_set(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny_set`` with names of classes and shapes that would be code, were they markup."""
    root = tmp_path_factory.mktemp("named") / "set"
    shutil.copytree(tiny_set, root)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["class_names"] = [ATTACK, LINK, *manifest["class_names"][2:]]
    manifest["digest"] = manifest_digest(manifest)
    manifest["manifest_sha256"] = digest_of(manifest, ("manifest_sha256",))
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture
def classified(named_set: Path, tmp_path: Path) -> Path:
    """A work dir: three epochs, and a test that takes the first class for the second."""
    folder = tmp_path / "<i>work"
    labels = PreparedSet(named_set).split("test").labels
    scores = np.full((len(labels), 4), 0.05, np.float32)
    predictions = np.where(labels == 0, 1, labels)
    scores[np.arange(len(labels)), predictions] = 0.6 + 0.02 * np.arange(len(labels))
    (folder / "1/vis_data").mkdir(parents=True)
    np.save(folder / "test_epoch_3_scores.npy", scores)
    accuracy = 100 * float((predictions == labels).mean())
    report = {
        "overall_accuracy": accuracy,
        "mean_class_accuracy": accuracy,
        "teacher_overall_accuracy": 90.0,
        "data_root": str(named_set),
        "split": "test",
        "labels": labels.tolist(),
        "predictions": predictions.tolist(),
    }
    (folder / "test_epoch_3.json").write_text(json.dumps(report))
    lines = [{"loss": 1 / epoch, "epoch": epoch} for epoch in (1, 2, 3)]
    lines += [{"overall_accuracy": 50.0 + step, "step": step} for step in (1, 2, 3)]
    text = "\n".join(map(json.dumps, lines)) + '\n{"loss": NaN, "epoch": 4}\n{"loss": 0.1, "ep'
    (folder / "1/vis_data/scalars.json").write_text(text)
    return folder


@pytest.fixture
def segmented(parts_set: Path, tmp_path: Path) -> Path:
    """A work dir of a network that segments 200 points, each wrong where a shape's number says so."""
    folder = tmp_path / "segmented"
    folder.mkdir()
    split = PreparedSet(parts_set).split("test")
    predicted = np.array(split.parts[:, :200])
    for row, parts in enumerate(predicted):
        parts[: 10 * row] = PreparedSet(parts_set).class_parts[split.labels[row]][0]
    np.save(folder / "test_epoch_1_parts.npy", predicted)
    ious = (1 - 0.1 * np.arange(len(predicted))).tolist()
    report = {"instance_miou": 75.0, "category_miou": 75.0, "labels": split.labels.tolist(), "ious": ious}
    (folder / "test_epoch_1.json").write_text(json.dumps(report))
    return folder


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium with WebGL in software; closed before other tests fork, whose processes would hold
    the pipe on which its driver waits for the end.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install '.[dev]')")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    flags = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags += ["--no-sandbox"] if os.getuid() == 0 else []
    with playwright.sync_playwright() as driver:
        yield (opened := driver.chromium.launch(executable_path=path, args=flags))
        opened.close()

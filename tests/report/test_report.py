"""The page of a report: what is in it, what is refused, and what a browser makes of it."""

import base64
import io
import json
import re

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from pointmcd.commands.report import main as report
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.statistics import wilson_interval
from pointmcd.report import page as report_page
from pointmcd.report.shapes import choose
from tests.report.conftest import ATTACK, LINK

SEEN = (0xD1, 0x48, 0x0F)


def content(path):
    """The data of a page, as a browser reads it."""
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL
    )
    return json.loads(text)


def decode(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.mark.parametrize(("right", "total"), [(0, 3), (3, 3), (61, 100), (1, 1)])
def test_intervals_of_shares(right, total):
    expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(right, total), 100 * np.array(expected), atol=1e-9)


def test_the_worst_the_median_and_the_best_are_shown():
    scores = np.random.default_rng(0).permutation(100) / 100
    shown = np.sort(scores[choose(scores, 100, 9)])
    np.testing.assert_allclose(shown, [0, 0.01, 0.02, 0.48, 0.49, 0.5, 0.97, 0.98, 0.99], atol=0.011)
    assert choose(scores, 100, 500).tolist() == list(range(100))
    assert choose(None, 100, 3).tolist() == [0, 49, 99]


def test_a_work_dir(classified, named_set, capsys):
    report([str(classified)])
    assert "12 of 12 shapes" in capsys.readouterr().out
    found = content(classified / "report.html")
    (figures,) = found["figures"]
    mean, low, high = figures["values"]["overall accuracy"]
    assert (mean, low, high) == pytest.approx((75, *wilson_interval(9, 12)), abs=1e-3)
    assert figures["teacher"] == {"overall accuracy": 90}
    assert found["classes"][:2] == [ATTACK, LINK]
    assert found["confusion"][0] == [0, 3, 0, 0]
    assert found["curves"] == [
        {"name": "loss", "kind": "loss", "x": [1, 2, 3], "y": [1, 0.5, 1 / 3]},
        {"name": "overall_accuracy", "kind": "figure", "x": [1, 2, 3], "y": [51, 52, 53]},
    ]
    split = PreparedSet(named_set).split("test")
    shape = found["shapes"][4]
    np.testing.assert_allclose(
        decode(shape["points"], "<u2").reshape(-1, 3) / 32767.5 - 1, split.points[4], atol=2e-5
    )
    np.testing.assert_array_equal(decode(shape["seen"], "<u4"), split.visibility[4])
    assert shape["top"][0] == [1, pytest.approx(0.68)]
    sheet = cv2.imdecode(decode(shape["sheet"], np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape == (96, 4 * 96, 3)
    for view in range(4):
        expected = cv2.resize(split.views.read(4, view), (96, 96), interpolation=cv2.INTER_AREA)
        tile = sheet[:, 96 * view : 96 * (view + 1), ::-1]
        assert np.abs(tile.astype(int) - expected).mean() < 4


def test_parts(segmented, parts_set, tmp_path):
    report([str(segmented), "--data", str(parts_set), "--out", str(tmp_path / "page.html")])
    found, split = content(tmp_path / "page.html"), PreparedSet(parts_set).split("test")
    assert found["task"] == "segmentation"
    assert [shape["iou"] for shape in found["shapes"]] == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5])
    shape = found["shapes"][3]
    np.testing.assert_array_equal(decode(shape["parts"], "<u2"), split.parts[3, :200])
    stored = np.load(segmented / "test_epoch_1_parts.npy")
    np.testing.assert_array_equal(decode(shape["predicted_parts"], "<u2"), stored[3])
    own = PreparedSet(parts_set).class_parts[0]
    assert len({found["colors"][str(part)] for part in own}) == len(own)


def test_ious_that_are_all_one_are_no_shares(segmented, parts_set, tmp_path):
    path = segmented / "test_epoch_1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ious": [1.0] * 6}))
    report([str(segmented), "--data", str(parts_set), "--out", str(tmp_path / "page.html")])
    found = content(tmp_path / "page.html")
    rows = [*found["figures"][0]["values"].values(), *(row["value"] for row in found["by_class"])]
    assert rows == [[100, 100, 100]] * len(rows)


def test_a_page_without_room_shows_fewer(tiny_set, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report_page, "MOST_BYTES", report_page.PLOTLY + 30_000)
    report([str(tiny_set), "--split", "train", "--out", str(tmp_path / "set.html")])
    shown = len(content(tmp_path / "set.html")["shapes"])
    assert 0 < shown < 24
    assert f"{shown} of 24 shapes" in capsys.readouterr().out


def test_what_cannot_be_reported_is_named(classified, parts_set, tmp_path):
    before = sorted(path.name for path in classified.iterdir())

    def refusal(*words):
        with pytest.raises(SystemExit) as stop:
            report([str(word) for word in words])
        return str(stop.value)

    assert "there is no folder" in refusal(tmp_path / "none")
    assert "holds neither a prepared set nor a test" in refusal(classified / "1")
    run = tmp_path / "distilled/student"
    run.mkdir(parents=True)
    (run / "last_checkpoint").write_text("/elsewhere/epoch_3.pth")
    (run / "config.py").touch()
    told = f"pointmcd test {run}/config.py {run}/epoch_3.pth\npointmcd report {run}"
    assert told in refusal(tmp_path / "distilled")
    assert "the labels differ; name the set with --data" in refusal(classified, "--data", parts_set)
    assert "no split 'val'" in refusal(classified, "--split", "val")
    assert "at least one shape, not 0" in refusal(classified, "--shapes", 0)
    saved = json.loads((classified / "test_epoch_3.json").read_text())
    for change, message in (
        (
            {"data_root": "gone/set"},
            "was tested on gone/set, which is not here; name the prepared set: --data",
        ),
        ({"predictions": saved["predictions"][1:]}, "one label and one prediction"),
        ({"predictions": ["a"] * 12}, "is not a report of pointmcd test"),
        ({"predictions": [4] * 12}, "predicts classes that are not the 4 of the set"),
        ({"labels": []}, "it has no labels"),
        ({"data_digest": "0" * 64}, "was tested on another set than"),
    ):
        (classified / "test_epoch_3.json").write_text(json.dumps(saved | change))
        assert message in refusal(classified)
    (classified / "test_epoch_3.json").write_text(json.dumps(saved))
    place = classified / "test_epoch_3_scores.npy"
    kept = np.load(place)
    for value in (1e30, np.nan, -0.1):
        scores = kept.copy()
        scores[2, 1] = value
        np.save(place, scores)
        assert "its probabilities are not between 0 and 1" in refusal(classified)
    np.save(place, kept)
    assert sorted(path.name for path in classified.iterdir()) == before


def test_in_a_browser(browser, classified, named_set):
    report([str(classified)])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(300_000)
    faults, asked = [], []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((classified / "report.html").as_uri(), wait_until="commit")
    page.wait_for_selector("body[data-ready]")

    # the worst is shown first: of those wrong, the one that is surest of another class
    assert page.locator("#list button").count() == 12
    title = page.locator("#shape-title").inner_text()
    split = PreparedSet(named_set).split("test")
    row = split.names.index(title)
    assert split.labels[row] == 0

    # a view lights up the points that it sees, and no others
    colors = "document.getElementById('cloud').data[0].marker.color"
    before = page.evaluate(colors)
    page.locator("#views button").nth(2).click()
    lit = [color == "#d1480f" for color in page.evaluate(colors)]
    np.testing.assert_array_equal(lit, split.visibility[row] >> np.uint32(2) & 1)
    pressed = page.locator("#views button[aria-pressed=true]")
    assert pressed.get_attribute("aria-label") == (
        f"View 2, azimuth 180°, elevation 30°, sees {sum(lit)} of 128 points"
    )
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#cloud").screenshot())).convert("RGB"), int)
    assert (np.abs(picture - SEEN).max(-1) < 12).sum() > 100  # it is drawn
    page.keyboard.press("Enter")  # the view has the focus: chosen again, all points are as before
    assert page.evaluate(colors) == before

    # filters and keys
    page.locator("#result").select_option("right")
    assert page.locator("#count").inner_text() == "9 of 12 shapes"
    page.locator("#list button").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#list button").nth(1).get_attribute("aria-current") == "true"

    # names are text
    assert page.locator("h1").inner_text() == "<i>work"
    assert ATTACK in page.locator("#by-class").inner_text()
    assert page.evaluate("typeof attacked") == "undefined"
    assert page.locator("main img, main a").count() == 0

    # charts are drawn when they come into view
    assert page.locator("#matrix svg").count() == 0
    for section, drawn in (("#curves", "#losses svg .scatterlayer"), ("#confusion", "#matrix svg")):
        page.locator(section).scroll_into_view_if_needed()
        page.locator(drawn).first.wait_for(state="attached")
    page.set_viewport_size({"width": 390, "height": 844})
    for _ in range(300):  # until the charts have followed
        if page.evaluate("document.documentElement.scrollWidth") == 390:
            break
        page.wait_for_timeout(100)
    else:
        pytest.fail("the page is wider than the window")
    assert not faults
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    page.close()

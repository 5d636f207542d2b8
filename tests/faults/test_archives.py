"""Archives as other systems write them; more of them, built byte by byte, in ``test_archive.py``."""

import pytest

from pointmcd.commands import prepare_data
from pointmcd.datasets.prepared_set import PreparedSet


@pytest.fixture
def run(cases, tmp_path):
    """Prepares ``arch/NAME`` of the small failing inputs, points alone; the folder of the set."""

    def call(name):
        out = tmp_path / name
        words = ["mesh-folder", "--source", str(cases / "arch" / name), "--out", str(out)]
        prepare_data.main([*words, "--points", "32", "--no-views", "--workers", "0"])
        return out

    return call


def test_zips_of_three_systems_are_one_set(run):
    sets = [PreparedSet(run(name)) for name in ("plain.zip", "mac.zip", "backslash.zip")]
    assert len({prepared.digest for prepared in sets}) == 1
    assert sum(len(sets[0].split(name)) for name in sets[0].splits) == 8


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("deflate64.zip", "is compressed by deflate64"),
        ("encrypted.zip", "is encrypted"),
        ("gbk.zip", "has names that are not UTF-8"),
        ("a.7z", "is no folder, and no archive that is read"),
        ("html.zip", "cannot be unpacked: File is not a zip file"),
        ("truncated.zip", "cannot be unpacked: File is not a zip file"),
    ],
)
def test_others_are_refused_in_one_line_that_names_the_cause(run, name, cause, tmp_path):
    with pytest.raises(SystemExit) as error:
        run(name)
    message = str(error.value)
    assert cause in message
    assert name in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lay_unsupported", ["1 class folder(s) without meshes are left out: lamp", "(6 .dae, 6 .gltf)"]),
        ("lay_one_each", ["3 of 3 classes have one shape to train on", "no shapes to test on"]),
        ("lay_split_mixedcase", ["6 train, 6 test shapes"]),
    ],
)
def test_layouts_with_a_remark(cases, tmp_path, capsys, name, said):
    words = ["mesh-folder", "--source", str(cases / name / "src"), "--out", str(tmp_path / "out")]
    assert prepare_data.main([*words, "--points", "32", "--no-views", "--workers", "0"]) == 0
    printed = "".join(capsys.readouterr())
    for words in said:
        assert words in printed

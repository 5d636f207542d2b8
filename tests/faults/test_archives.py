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
        ("a.7z", "is neither a folder nor a supported archive"),
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
        ("lay_split_case", ["6 train, 6 test shapes"]),
        ("lay_names", ["16 train, 16 test shapes"]),
        ("lay_odd_names", ["15 train, 15 test shapes"]),
        ("lay_oneclass", ["3 train, 1 test shapes"]),
        ("lay_two", ["2 of 2 classes have one shape to train on"]),
    ],
)
def test_layouts_with_a_remark(cases, tmp_path, capsys, name, said):
    words = ["mesh-folder", "--source", str(cases / name / "src"), "--out", str(tmp_path / "out")]
    assert prepare_data.main([*words, "--points", "32", "--no-views", "--workers", "0"]) == 0
    printed = "".join(capsys.readouterr())
    for words in said:
        assert words in printed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lay_flat", "6 mesh(es) that lie in no class folder are left out"),
        ("lay_nested", "8 folder(s) are passed over, as they are not splits (train, val, test): box/id0"),
        ("lay_split_outer", "as they are not splits (train, val, test): test/box, test/rod, train/box"),
    ],
)
def test_layouts_that_hold_no_classes_are_refused_and_said(cases, tmp_path, capsys, name, said):
    words = ["mesh-folder", "--source", str(cases / name / "src"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="holds no class folders with meshes"):
        prepare_data.main([*words, "--points", "32", "--no-views", "--workers", "0"])
    assert said in "".join(capsys.readouterr())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("snp_ok", None),
        ("snp_few", None),
        ("snp_10col", "10 columns instead of 7"),
        ("snp_local", r"parts \[0, 1, 2\]; a chair has 12 to 15"),
        ("snp_nosplit", "shuffled_train_file_list.json is missing"),
    ],
)
def test_forms_of_shapenet_part(cases, tmp_path, name, said):
    words = ["shapenet-part", "--source", str(cases / name / "src"), "--out", str(tmp_path / "out")]
    words += ["--points", "32", "--no-views", "--workers", "0"]
    if said is None:
        assert prepare_data.main(words) == 0
    else:
        with pytest.raises(SystemExit, match=said):
            prepare_data.main(words)

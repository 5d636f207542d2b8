import pytest

from pointmcd.evaluation.statistics import mean_and_std, plus_minus


def test_spread_of_several_runs():
    found = mean_and_std([1.0, 2.0, 6.0])
    assert found == {"mean": 3.0, "std": pytest.approx(7**0.5)}  # (4 + 1 + 9) / 2
    assert plus_minus(found, 2) == "3.00 ± 2.65"


def test_one_run_has_no_spread():
    assert mean_and_std([80.42]) == {"mean": 80.42, "std": None}
    assert plus_minus({"mean": 80.42, "std": None}) == "80.4"

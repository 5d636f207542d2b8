# make venv: the environment. make demo: the main job on built-in shapes. make test, make lint: the checks.
# make soak: attempts to break it, for up to 45 minutes (KILLS=200 for the long form).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv demo test lint soak

venv: .venv/ready

.venv/ready: pyproject.toml constraints.txt setup.py $(wildcard pointmcd/ops/cpu/*.cpp pointmcd/ops/cpu/*.h)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade 'setuptools<81' wheel
	$(BIN)/python -m pip install -c constraints.txt torch torchvision
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

demo: venv
	$(BIN)/python tools/demo.py

test: venv
	$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

KILLS ?= 60
soak: venv
	$(BIN)/python -m tests.soak.run --kills $(KILLS)

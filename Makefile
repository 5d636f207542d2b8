# make venv: the environment. make demo: the main job on built-in shapes. make test, make lint: the checks.
# make docs: the site, in site/.
# make soak: attempts to break it, for up to 45 minutes (KILLS=200 for the long form).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv demo test lint soak docs

venv: .venv/ready

.venv/ready: pyproject.toml constraints.txt setup.py $(wildcard pointmcd/ops/cpu/*.cpp pointmcd/ops/cpu/*.h pointmcd/geometry/cpp/*)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade 'setuptools<81' wheel
	$(BIN)/python -m pip install -c constraints.txt torch torchvision
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

demo: venv
	$(BIN)/python tools/demo.py

# Processes with a thread each: OpenMP's waiting threads would take the cores from one another.
JOBS ?= 2
test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

.venv-docs/ready: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install -q -r docs/requirements.txt
	touch $@

KILLS ?= 60
soak: venv
	$(BIN)/python -m tests.soak.run --kills $(KILLS)

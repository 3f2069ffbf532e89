# Linux and macOS, Python 3.11 or newer. `make demo` and `make test` make their own .venv.
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,$(if $(shell $(p) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null | grep True),$(p))))
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
DEMO ?= --for 60
PYTEST_ARGS ?=
# Two more than there are cores: many tests wait for an instrument or a browser.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)

.PHONY: help demo batch test fault lint benchmark screenshots docs clean

help:
	@echo "make demo       a simulated instrument and its station, live for a minute, against the truth (DEMO= until Ctrl-C)"
	@echo "make batch      simulate a volcano, process it, compare with the truth (SEED=1)"
	@echo "make test       run all tests"
	@echo "make fault      kills, power cuts, failing disks and devices in full number (about two hours; as root on Linux)"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make benchmark  time and memory of the image chain"
	@echo "make screenshots  pictures of all pages into docs/images/web (needs Chromium)"
	@echo "make docs       build the documentation into site/"
	@echo "make clean      remove everything that was made"

demo: $(VENV)/.ready
	$(BIN)/so2cam demo $(DEMO)

batch: $(VENV)/.ready
	$(BIN)/so2cam demo --batch --seed $(SEED)

test: $(VENV)/.compiled
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

fault: $(VENV)/.compiled
	SO2CAM_FAULT=full $(BIN)/python -m pytest tests/fault tests/unit/link tests/integration/test_cli_link.py --timeout 3600 $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/image_chain.py

screenshots: $(VENV)/.installed-dev
	$(BIN)/python tools/screenshots.py

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "so2cam needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[station]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,station]'
	@touch $@ $(VENV)/.installed

# Fits are compiled at their first use and kept. Before it, or a first emission rate waits, and so does each test's process.
$(VENV)/.ready: $(VENV)/.installed $(wildcard src/so2cam/science/spectra/*.py)
	$(BIN)/so2cam compile
	@touch $@

$(VENV)/.compiled: $(VENV)/.installed-dev $(wildcard src/so2cam/science/spectra/*.py)
	$(BIN)/so2cam compile --all
	@touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) demo out site build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo    install if needed, write the benchmark, train, evaluate, print the results table; then evaluate the weights
#              that come with the project on new clips of pictures of their training
# make test    install if needed, run all tests
# make check   ruff, mypy, then the tests: what CI runs
# PYTHON=...   interpreter to make .venv with; ARGS=... values for the demonstration, e.g. ARGS="train.steps=50 --out runs/try"

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test check lint install clean

VENV ?= .venv
REQUIREMENTS := requirements-dev.txt requirements-no-deps.txt
# The versions in requirements-dev.txt need Python 3.11 or newer. The first that works is taken: a name may lead nowhere (pyenv),
# and a system Python may lack venv (Debian).
USABLE := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	if "$$name" -c '$(USABLE)' 2>/dev/null; then echo "$$name"; break; fi; done)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check install --no-cache-dir
export TOKENIZERS_PARALLELISM := false

demo: install
	$(RUN) run.py run experiments/demo.yaml $(ARGS)
	$(RUN) run.py data compose data/pictures videos_per_class=2 frames=4 seed=1
	$(RUN) run.py evaluate release evaluate.transfer.root=data/pictures evaluate.transfer.seen=keep evaluate.max_queries_per_class=1 \
		evaluate.support_frames=3 evaluate.scoring=[paper] evaluate.methods=[nearest,conditioning] --out runs/demo-pictures

test: install
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(RUN) -m pytest -n logical --maxprocesses 8 --dist worksteal $(ARGS)

check: lint test

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

install: $(VENV)/.installed

$(VENV)/.installed: $(VENV)/.made $(REQUIREMENTS) setup.py
	@command -v $${CC:-gcc} >/dev/null || { echo "Error: no C compiler ($${CC:-gcc}), and learn2learn has to be built." \
		"Install one (Debian, Ubuntu: apt install gcc python3-dev), or name one in CC." >&2; exit 2; }
	$(PIP) -r requirements-dev.txt
	$(PIP) --no-deps -r requirements-no-deps.txt
	$(PIP) --no-deps -e .
	touch $@

# An unfinished or moved environment is made again; one that works is kept.
$(VENV)/.made:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c '$(USABLE)' 2>/dev/null; then \
		echo "Error: no usable Python. This needs Python 3.11 to 3.13 with venv (Debian, Ubuntu: apt install python3.11-venv)," \
			"found '$(PYTHON)'. Name one with: make PYTHON=/path/to/python3.11" >&2; exit 2; fi
	@if ! $(RUN) -m pip --version >/dev/null 2>&1; then echo "Creating $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv --clear $(VENV); fi
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# `make help` lists what there is. Everything runs in .venv, which `make` sets up when it must.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# TensorFlow's start-up lines would fill every log; warnings and errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Two tests at a time need more memory than speed: one worker a core.
WORKERS ?= 2
NBVAL := --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout 600 --nbval-current-env

.DEFAULT_GOAL := help
.PHONY: help run app test coverage notebooks lab lint bench bench-full lock clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(READY): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $(READY)

# Drawn once and first: two tests at a time would both draw it.
.PHONY: sample
sample: $(READY)  ## draw the synthetic sample set, unless it is there
	$(BIN)/skincnn sample

run: $(READY)  ## execute the series (on SKINCNN_DATA where set) into outputs/index.html
	$(BIN)/python -m skincnn.series outputs/notebooks

app: sample  ## open the page: a small network is trained first (MODEL=… serves another)
	$(BIN)/skincnn serve $(MODEL)

test: sample lint  ## every test, and every notebook compared with what is committed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests
	env -u SKINCNN_DATA $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(NBVAL) notebooks

# Child processes and kernels are counted too (pyproject's patch); a failure still leaves a table.
coverage: sample  ## which lines of the package tests and notebooks run: twice as long as they take
	$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest -q -n $(WORKERS) --dist loadfile tests
	-env -u SKINCNN_DATA $(BIN)/coverage run -m skincnn.series outputs/coverage/notebooks
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

notebooks: sample  ## execute the notebooks in place, on the sample set, to commit their outputs
	env -u SKINCNN_DATA $(BIN)/python -m skincnn.series notebooks

lab: $(READY)  ## open Jupyter
	$(BIN)/jupyter lab --notebook-dir=notebooks

lint: $(READY)  ## ruff over code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)  ## every benchmark in turn, one table (half an hour); BENCHMARKS.md keeps the last
	$(BIN)/python benchmarks/bench.py

bench-full: $(READY)  ## the same with larger sets and more rounds (hours)
	$(BIN)/python benchmarks/bench.py --full

lock: $(READY)  ## pin what is installed now; use the oldest Python 3.11 there is
	$(BIN)/python -m pip freeze --exclude-editable | grep -v '^skincnn' > requirements.txt

clean:  ## remove the environment and everything that was made
	rm -rf $(VENV) outputs/local outputs/notebooks outputs/index.html data/sample

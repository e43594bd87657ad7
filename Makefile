# make demo and make test do all the set-up; the rest is for people who work on MusicGraph.
PYTHON ?= python3
VENV := .venv
FLOOR := .venv-floor
BIN := $(VENV)/bin
FLOOR_TESTS := tests/test_parity.py tests/test_generate.py tests/test_drawing.py tests/test_delay.py \
	tests/test_codec.py tests/test_t5.py tests/test_checkpoint.py tests/test_places.py tests/test_dsp.py tests/test_nodes.py tests/test_pocket.py

.PHONY: demo test test-browser test-slow test-floor lint format pocket bench space setup clean

demo: setup
	$(BIN)/musicgraph demo --open

test: setup
	$(BIN)/python -m pytest -q -m "not slow and not browser" --cov --cov-report=term:skip-covered

test-browser: setup
	$(BIN)/python -m pytest -q -m browser

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

test-floor: $(FLOOR)/ready
	$(FLOOR)/bin/python -m pytest -q -m "not slow" $(FLOOR_TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pocket: setup
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[training]"
	$(BIN)/python training/run.py $(ARGS)

bench: setup
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[cpu,bench]"
	$(BIN)/python benchmarks/bench.py $(ARGS)

# make space SPACE=user/name, with ARGS=--gpu for a Space that has one
space: setup
	$(BIN)/python docs/space.py $(SPACE) $(ARGS)

setup: $(VENV)/ready

# torch by itself and first: its pinned build keeps later steps from choosing another one
$(VENV)/ready: Makefile pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[app,cpu,dev]"
	touch $@

$(FLOOR)/ready: Makefile pyproject.toml constraints-floor.txt
	test -d $(FLOOR) || $(PYTHON) -m venv $(FLOOR)
	$(FLOOR)/bin/python -m pip install --quiet -c constraints-floor.txt torch
	$(FLOOR)/bin/python -m pip install --quiet -c constraints-floor.txt -e . "pytest>=8" "hypothesis>=6.100"
	touch $@

clean:
	rm -rf $(VENV) $(FLOOR) build *.egg-info .pytest_cache .ruff_cache .coverage

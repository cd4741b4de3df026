# make demo   from digits to a checked ONNX file; KERAS_BACKEND=jax or torch picks another backend
# make test   the whole suite under TensorFlow, JAX and PyTorch
# make lint   ruff, without changing a file
# make format ruff, changing files
# make clean  remove what the others made

PYTHON ?= python3
KERAS_BACKEND ?= tensorflow
BACKENDS = tensorflow jax torch
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export KERAS_BACKEND
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint format clean $(BACKENDS:%=test-%)

demo: .venv/installed-demo-$(KERAS_BACKEND)
	$(BIN)/python examples/quickstart.py

# Two at a time: each keeps about one core busy.
test: .venv/installed-dev
	$(MAKE) --jobs=2 --output-sync=target $(BACKENDS:%=test-%)

$(BACKENDS:%=test-%): test-%: .venv/installed-dev
	KERAS_BACKEND=$* $(BIN)/python -m pytest -q

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-demo-%: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[export,datasets,$*]'
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	touch $@ $(BACKENDS:%=.venv/installed-demo-%)

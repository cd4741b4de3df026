# make demo   from digits to a checked ONNX file; KERAS_BACKEND=jax or torch picks another backend
# make photos  trains on emoji drawings of two vendors and recognises a third one's (needs npm)
# make web    the page in the browser, at http://127.0.0.1:8000; PORT=8001 picks another port
# make test   the whole suite under TensorFlow, JAX and PyTorch
# make test-fast  what needs no export and no subprocess, under one backend
# make test-corpus  every model that the export should take, under TensorFlow
# make test-distributed  training on several simulated devices, with JAX, TensorFlow and PyTorch
# make test-package  sdist and wheel, installed in six empty environments; ten minutes, 3 GB of disk
# make test-oldest  the suite at the oldest versions that pyproject.toml allows, in .venv-oldest
# make fuzz   a minute of damaged and hostile inputs to every parser of the export
# make test-web  the page and devices/javascript, in Chromium and Node; SCREENSHOTS=1 draws the figures again
# make docs   the site, in build/site; it works without a server
# make tutorials  runs the tutorials and the gallery; `make docs` then shows their output
# make lint   ruff and pyright, without changing a file
# make format ruff, changing files
# make clean  remove what the others made

PYTHON ?= python3
KERAS_BACKEND ?= tensorflow
BACKENDS = tensorflow jax torch
PORT ?= 8000
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export KERAS_BACKEND
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo photos web page docs tutorials test test-export test-fast test-corpus test-distributed test-web test-package test-oldest fuzz lint format clean $(BACKENDS:%=test-%) $(BACKENDS:%=test-oldest-%)

demo: .venv/installed-demo-$(KERAS_BACKEND)
	$(BIN)/python examples/quickstart.py

photos: .venv/installed-dev
	$(BIN)/python examples/emoji.py
	$(BIN)/python examples/photos.py build/emoji/train --test build/emoji/test

WEB = examples/web
DEVICE = devices/javascript
ORT = $(DEVICE)/node_modules/onnxruntime-web/dist

web: page
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/web $(PORT)

test-web: page .venv/installed-dev
	@command -v chromium >/dev/null || { \
	  echo "make test-web needs Chromium: apt-get install chromium (as root)" >&2; exit 5; }
	$(BIN)/python -m pytest -q -s $(WEB)
	$(BIN)/python -m pytest -q tests/devices

# All that the browser asks for: the page, the smallest build of onnxruntime-web, the networks.
page: build/web/networks.json $(DEVICE)/node_modules/.package-lock.json
	mkdir -p build/web/device
	cp $(WEB)/*.html $(WEB)/*.css $(WEB)/*.js build/web
	cp $(DEVICE)/*.js build/web/device
	echo 'export * from "../ort.wasm.bundle.min.mjs";' > build/web/device/ort.js
	cp $(ORT)/ort.wasm.bundle.min.mjs $(ORT)/ort-wasm-simd-threaded.wasm build/web

build/web/networks.json: $(WEB)/build.py $(WEB)/levels.json \
    $(wildcard keras_capsules/models/weights/*.json keras_capsules/explain/*.py) \
    | .venv/installed-demo-$(KERAS_BACKEND)
	$(BIN)/python $(WEB)/build.py

$(DEVICE)/node_modules/.package-lock.json: $(DEVICE)/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "make web needs npm: apt-get install npm (as root)" >&2; exit 5; }
	npm ci --prefix $(DEVICE) --ignore-scripts --no-audit --no-fund
	touch $@

docs: .venv/installed-dev
	$(BIN)/python docs/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

tutorials: .venv/installed-dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q -m tutorials --durations=0 tests/test_tutorials.py

# Two at a time, the longest first: each keeps about one core busy. Threads of OpenMP, which PyTorch
# starts, wait for each other, and take several times as long.
test: .venv/installed-dev
	OMP_NUM_THREADS=1 $(MAKE) --jobs=2 --output-sync=target test-export $(BACKENDS:%=test-%)

# Under TensorFlow the tests of the export take as long as all others.
test-export: .venv/installed-dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q tests/export

test-tensorflow: .venv/installed-dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q --ignore=tests/export

test-jax test-torch: test-%: .venv/installed-dev
	KERAS_BACKEND=$* $(BIN)/python -m pytest -q

test-fast: .venv/installed-dev
	$(BIN)/python -m pytest -q -m 'not slow and not corpus and not distributed and not tutorials'

test-corpus: .venv/installed-dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q -m 'corpus or slow' tests/export/corpus

test-distributed: .venv/installed-dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q -m distributed tests/distributed tests/test_train.py tests/benchmarks/test_distribution.py

test-package: .venv/installed-dev
	$(BIN)/python -m benchmarks.installs

test-oldest: $(BACKENDS:%=test-oldest-%)

# JAX 0.5 computes NaN, or crashes, with some of the programs that it has stored.
$(BACKENDS:%=test-oldest-%): test-oldest-%: .venv-oldest/installed
	KERAS_BACKEND=$* JAX_ENABLE_COMPILATION_CACHE=false .venv-oldest/bin/python -m pytest -q

fuzz: .venv/installed-dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m benchmarks.fuzz --minutes 1

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project pyproject.toml

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-oldest build $(DEVICE)/node_modules

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-demo-%: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[export,c,datasets,$*]'
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	touch $@ $(BACKENDS:%=.venv/installed-demo-%)

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints-oldest.txt --editable '.[export,jax,torch,datasets,explain]' pytest
	touch $@

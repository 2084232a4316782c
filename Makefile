# `make` alone lists the targets. PYTHON chooses the interpreter that .venv is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.txt)
INSTALLED := $(VENV)/.installed
INSTALLED_DEMO := $(VENV)/.installed-demo

.DEFAULT_GOAL := help
.PHONY: help venv demo ravdess paper sample test coverage faults lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## make .venv with everything that runs and checks the code

# torch goes first and by itself: of several builds with a known hash pip would take the registry's, which for Linux is
# the CUDA one; asked without hashes it prefers a CPU build where it has been pointed at one, and the hash is then checked.
# A torch of the pinned version that is already in .venv is kept. The lock holds no NVIDIA libraries: the last but one
# line adds them where torch is a CUDA build.
$(INSTALLED): requirements.lock requirements.txt requirements-workflow.txt requirements-app.txt requirements-asr.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: needs Python 3.11 or newer: make PYTHON=python3.11 venv")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) freeze | grep -q '^$(TORCH)' || { set -e; \
	  $(PIP) download --no-deps --dest build/torch $(TORCH); \
	  awk '/^[a-z]/ { keep = /^torch==/ } keep' requirements.lock > build/torch/requirements.lock; \
	  $(PIP) install --no-deps --no-index --find-links build/torch --require-hashes -r build/torch/requirements.lock; \
	  rm -rf build/torch; }
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(INSTALLED_DEMO): $(INSTALLED) requirements-demo.txt
	$(PIP) install --no-deps --require-hashes -r requirements-demo.txt
	touch $@

demo: $(INSTALLED_DEMO) ## the whole paper in small, on a synthetic corpus; needs no data and no GPU
	@$(BIN)/python -m medusa run configs/pipelines/demo.yaml

ravdess: $(INSTALLED_DEMO) ## RAVDESS, five folds, and its table (needs data/ravdess/audio; hours on 2 cores)
	@$(BIN)/python -m medusa run configs/pipelines/ravdess.yaml

paper: $(INSTALLED) ## the paper's three tables from MSP-Podcast (needs a folder or link MSP-PODCAST, and GPUs)
	@test -d MSP-PODCAST/Audios || { echo "error: MSP-PODCAST/Audios: no such folder; unpack the corpus there or link it" >&2; exit 2; }
	@mkdir -p data/msp-podcast && ln -sfn "$(CURDIR)/MSP-PODCAST/Audios" data/msp-podcast/Audios
	@$(BIN)/python -m medusa run configs/pipelines/paper.yaml

sample: $(INSTALLED) ## run the four stages on samples/, about a minute after the installation
	rm -rf runs/sample
	$(BIN)/python train_deepser.py configs/sample/deepser.yaml
	$(BIN)/python eval_deepser.py configs/sample/deepser.yaml
	$(BIN)/python train_metacls.py configs/sample/metacls.yaml
	$(BIN)/python eval_metacls.py configs/sample/metacls.yaml
	@echo
	@echo "All four stages ran. The corpus is made up (samples/README.md), so the scores mean nothing."
	@echo "The member with its posteriors: runs/sample/members/deepser"
	@echo "The ensemble with its scores:   runs/sample/ensembles/metacls"

# Tiny tensors gain nothing from a second thread, and on a busy machine the two wait for each other: several tests at a
# time do. Neighbours stay together, for they share fixtures.
PARALLEL := -n logical --maxprocesses 4 --dist worksteal
test: $(INSTALLED_DEMO) ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL)

# Commands that tests start are counted too (pyproject.toml).
coverage: export COVERAGE_FILE := $(CURDIR)/build/coverage/data
coverage: $(INSTALLED_DEMO) ## run the tests and list the lines of medusa/ that none of them runs
	rm -rf build/coverage && mkdir -p build/coverage
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest $(PARALLEL)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

faults: $(INSTALLED_DEMO) ## kill it, starve it, feed it rubbish: the long ones too, hours (docs/reliability.md)
	OMP_NUM_THREADS=1 MEDUSA_FUZZ_CASES=200000 MEDUSA_KILLS=20 $(BIN)/pytest tests/faults -m "" -rP

lint: $(INSTALLED) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One lock for Python 3.11 and newer on Linux, macOS and Windows. Two things are done to the resolver's output:
# what only a CUDA build of torch needs is left out, and the CPU build of torch is let in beside the ordinary wheels.
TORCH_CPU := 6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b# torch 2.13.0+cpu, cp311, Linux x86-64
lock: ## renew requirements.lock from requirements{,-dev,-workflow,-app,-asr}.txt
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		requirements.txt requirements-dev.txt requirements-workflow.txt requirements-app.txt requirements-asr.txt \
		--output-file requirements.lock > /dev/null
	awk 'BEGIN { print "# Made by `make lock`: requirements{,-dev,-workflow,-app,-asr}.txt and what they need, with hashes." } \
	  /$(TORCH_CPU)/ { next } /^[a-z]/ { keep = !/^(nvidia-|cuda-|triton=)/ } keep { print } \
	  /^torch==/ { print "    --hash=sha256:$(TORCH_CPU) \\" }' requirements.lock > build/requirements.lock
	mv build/requirements.lock requirements.lock

clean: ## remove .venv, caches and runs/sample; other runs, data and models stay
	rm -rf $(VENV) build runs/sample .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

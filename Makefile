# make demo: everything from nothing. make test: the same set-up, then the tests.
PYTHON ?= python3
VENV := .venv
SHELL := bash
# DVC warns of each empty file, and a stage that dropped nothing leaves one
QUIETLY := 2> >(grep -v "_dropped.jsonl' is empty" >&2)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# two spinning threads on busy cores are ten times slower than one
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1
export DS_ACCELERATOR ?= cpu
# tests and stages start many processes: each would compile all of our modules, and pytest rewrite its tests, anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo setup test nightly lint map docs world soak clean

demo: setup
	@echo "The first clips: what the generator makes of a query as it was typed, and of a few-shot prompt."
	dvc repro render_eval@test-original render_eval@test-fewshot $(QUIETLY)
	@vpo clips
	@echo "Now the whole graph, some minutes: datasets, SFT, rollouts, clips, rewards, DPO, evaluation."
	dvc repro $(QUIETLY)
	@echo
	@cat results/evaluate.md
	@echo
	@dvc exp save -q --force --name demo || echo "not kept as experiment demo: vpo compare will have nothing to begin from"
	@echo 'Look at results/evaluate/clips.png, then: source $(VENV)/bin/activate; vpo sql "select * from d_dpo limit 3"'

setup: $(VENV)/laptop

test: $(VENV)/test lint
	python -m pytest -n 2 --dist loadfile -m "not graph and not slow and not gpu and not live"
	python -m pytest -n 2 --dist loadfile -m "(graph or slow) and not gpu and not live"

# what the other supported Pythons at hand make of it; needs the package index
nightly: $(VENV)/test
	python -m pytest -rs -m nightly

lint: $(VENV)/test
	ruff check .
	ruff format --check .
	mypy

# the parts of README.md and docs/ that repeat the tree, and the line under the heading of each page of bench/results/
map: setup
	python -m docs.generate

# a static site in site/
docs: setup
	python -m docs.site

world: setup
	python -m bench.world

# an hour of kills and damages drawn by a seed, or: make soak MINUTES=10 SEED=3
soak: $(VENV)/test
	python -m bench.soak --minutes $(or $(MINUTES),60) --seed $(or $(SEED),0)

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "vpo needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/laptop: $(VENV)/python pyproject.toml constraints.txt
	pip install --disable-pip-version-check -e '.[laptop]' -c constraints.txt
	@touch $@

$(VENV)/test: $(VENV)/laptop
	pip install --disable-pip-version-check -e '.[test]' -c constraints.txt
	@touch $@

clean:
	rm -rf $(VENV)

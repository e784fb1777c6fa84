# Two commands: `make demo` shows it, `make test` proves it. Both install what they need into .venv.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench bench-long bench-peers eval check-slow docs clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## ingest real photos and texts, search them, write a contact sheet
	$(RUN) -m scripts.demo

test: lint ## everything that must hold
	$(RUN) -m pytest -q -m "not slow" -n auto --maxprocesses 4 --dist worksteal

lint: $(STAMP) ## style, types, architecture
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache

bench: $(STAMP) ## figures of docs/benchmarks.md that take minutes
	$(RUN) -m benchmarks.pipeline
	$(RUN) -m benchmarks.worker
	$(RUN) -m benchmarks.texts
	$(RUN) -m benchmarks.fidelity
	$(RUN) -m benchmarks.search
	$(RUN) -m benchmarks.filtered
	$(RUN) -m benchmarks.recommend
	$(RUN) -m benchmarks.reindex
	$(RUN) -m benchmarks.page

bench-long: $(STAMP) ## a million points, and the API under load while its worker is killed
	$(RUN) -m benchmarks.growth
	$(RUN) -m benchmarks.http
	$(RUN) -m benchmarks.page

bench-peers: $(STAMP) ## Quiver beside others, each in an environment of its own: installs 6 GB into .cache
	$(RUN) -m benchmarks.beside
	$(RUN) -m benchmarks.peers
	$(RUN) -m benchmarks.page

eval: $(STAMP) ## figures of docs/quality.md
	$(RUN) -m benchmarks.quality

check-slow: $(STAMP) ## tests that take minutes, and thousands of generated examples
	HYPOTHESIS_PROFILE=nightly $(RUN) -m pytest -q --timeout 7200 tests/unit tests/contract tests/flow
	$(RUN) -m pytest -q -m slow

clean:
	rm -rf $(VENV) .cache build *.egg-info demo-data

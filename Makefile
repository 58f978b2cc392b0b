# make demo   sets up .venv, installs, and runs the whole loop on embedded defaults
# make test   sets up .venv, installs, and checks lint, types, import contracts and the tests
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check clean

demo: .venv/.installed
	$(BIN)/humanturn demo

test: .venv/.installed-dev check
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.venv/.installed: pyproject.toml constraints.txt hatch_build.py src/humanturn/analyze/_stretches.c
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

.venv/.installed-dev: pyproject.toml constraints.txt hatch_build.py src/humanturn/analyze/_stretches.c
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv runs .mypy_cache .pytest_cache .ruff_cache

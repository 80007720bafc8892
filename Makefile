# make demo   one round of self-editing on the embedded model, ending with an HTML report
# make test   checks and tests, among them a real round on the embedded model
# make campaign   the long forms of tests/campaigns: kills, write faults, fuzz, outages; some hours
# Both first do `make setup`; pass flags on with ARGS, e.g. make demo ARGS='--quick'.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Two processes of one thread each do more on two cores than two that share two threads.
TWO := OMP_NUM_THREADS=1 GOMP_SPINCOUNT=0

.PHONY: setup demo test campaign check unit clean

setup: .venv/.installed
	@$(BIN)/selfedit setup

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("selfedit needs Python 3.11 or later; set PYTHON=...") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/selfedit demo $(ARGS)

test: setup check
	$(TWO) $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

campaign: setup
	SELFEDIT_CAMPAIGN=long $(BIN)/python -m pytest tests/campaigns $(ARGS)

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: .venv/.installed
	$(BIN)/python -m pytest -m 'not slow and not model' $(ARGS)

clean:
	rm -rf .venv build dist

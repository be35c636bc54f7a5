# Everything runs in .venv, built from requirements.lock with Python 3.11, 3.12 or 3.13.

# Without ensurepip, as some distributions leave it out, a Python cannot make an environment.
FITS := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3.12 python3.13 python3.11 python3; do \
	"$$python" -c '$(FITS)' 2> /dev/null && echo "$$python" && break; done)
BIN := .venv/bin
CORES ?= 2
ARGS ?=
# Without compiled modules each of hundreds of processes would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-full field ablations test golden docs lint lock clean

demo: .venv/installed ## the whole benchmark on scikit-learn's digits, on a CPU
	$(BIN)/snakemake --cores $(CORES) --configfile config/digits.yaml
	@echo
	@cat results/digits/tables/comparison.md
	@echo
	@cat results/digits/tables/claims.md
	@echo "figures: results/digits/figures    every number: results/digits/summary.csv"
	@echo "all of it on one page, for a browser: results/digits/report.html"

demo-full: .venv/installed ## the demo with diagnostics of all seeds
	$(BIN)/snakemake --cores $(CORES) --configfile config/digits.yaml \
		--config 'diagnostics={seeds: [0, 1]}'
	@grep -h . results/digits/logs/diagnose/*/*.log results/digits/logs/transfer/*.log

field: .venv/installed ## every method of the suite, on the digits; half an hour
	$(BIN)/snakemake --cores $(CORES) --configfile config/field_digits.yaml
	@cat results/field_digits/tables/claims.md
	@echo "all of it on one page, for a browser: results/field_digits/report.html"

ablations: .venv/installed ## which of the paper's open choices matter, on the digits; half an hour
	$(BIN)/snakemake --cores $(CORES) --configfile config/ablations_digits.yaml
	@cat results/ablations_digits/tables/ablations.md
	@echo "all of it on one page, for a browser: results/ablations_digits/report.html"

test: .venv/installed ## unit, contract, workflow and end-to-end tests; minutes on a CPU
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile $(ARGS)

golden: .venv/installed ## the golden values again, for a change that moves them on purpose
	PYTHONPATH=.:tests $(BIN)/python tests/unit/golden.py

docs: .venv/installed ## the parts of docs/ that are made from schema, columns and choices
	$(BIN)/python docs/generate.py

lint: .venv/installed ## what a change must pass besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/vulture

lock: .venv/installed ## resolve the dependencies of pyproject.toml again
	$(BIN)/uv pip compile -q pyproject.toml --all-extras --group dev --universal --generate-hashes \
		--no-header --no-annotate --upgrade -o requirements.lock

# uv installs in half a minute what takes pip over four.
.venv/installed: requirements.lock
	@"$(PYTHON)" -c '$(FITS)' 2> /dev/null || { echo "Python 3.11, 3.12 or 3.13 with its venv" \
		"module is needed (found: $(or $(PYTHON),none)); name one: make PYTHON=..." >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	touch $@

clean: ## the environment and the demo's results; other results stay
	rm -rf .venv results/digits

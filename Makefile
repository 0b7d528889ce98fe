# Everything a developer does here, from a fresh clone on. Needs make, Python 3.10 or later, Rust and a C compiler; the
# rest is set up by itself, inside the clone: .venv (tools and this package, editable), target (Rust), dist (wheels).
#
#   make PYTHON=python3.12 ...     another interpreter than the first one found
#   make VENV=.venv-3.12 ...       another environment beside the first

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

VENV ?= .venv
VENV_COMPAT ?= .venv-compat
VENV_EXT ?= .venv-ext
VENV_BENCH ?= .venv-bench
VENV_DAPR_SDK ?= .venv-dapr-sdk
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
PY := $(BIN)/python
PYTEST = $(PY) -m pytest -n $(PYTEST_WORKERS) $(PYTEST_ARGS)
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet

# Neither an active environment nor a configured interpreter may lead the build elsewhere than into $(VENV).
unexport CONDA_PREFIX PYO3_PYTHON PYTHONHOME PYTHONPATH
export VIRTUAL_ENV := $(abspath $(VENV))

# Dapr's SDK: those that are supported, and the last of each series, which all test runs take in.
DAPR_SDK_VERSIONS := 1.18.0 1.18.1 1.18.3 1.19.0
DAPR_SDK_LATEST := 1.18.3 1.19.0
empty :=
space := $(empty) $(empty)
comma := ,

# Looked for only when an environment or an extension module is to be built, hence no `:=`.
BASE_PYTHON = $(shell PYTHON='$(PYTHON)' sh scripts/find-python.sh)
NO_PYTHON = $(shell PYTHON='$(PYTHON)' sh scripts/missing.sh python '$(BASE_PYTHON)')
NO_RUST = $(shell sh scripts/missing.sh rust)
need_python = $(if $(NO_PYTHON),$(error $(NO_PYTHON)))
need_rust = $(if $(NO_RUST),$(error $(NO_RUST)))

# What the extension module is built from.
SOURCES := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find rust \( -name tests -o -name benches \) -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)

##@ Getting started

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## "; print "usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: develop ## Run three orchestrations on a real worker, client and sidecar
	@for example in function_chaining fan_out_fan_in human_interaction; do \
		echo "--- examples/$$example.py"; \
		env -u DAPR_GRPC_ENDPOINT -u DAPR_GRPC_HOST -u DAPR_RUNTIME_HOST -u DAPR_GRPC_PORT \
			$(PY) examples/$$example.py || exit; \
	done

.PHONY: develop
develop: $(VENV)/.developed ## Set up .venv and build this package into it
	@:

$(PY):
	$(need_python)$(need_rust)@echo "Setting up $(VENV) with $(BASE_PYTHON)"
	@$(BASE_PYTHON) -m venv --clear $(VENV)

$(VENV)/.requirements: requirements-dev.txt $(PY)
	@$(PY) $(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

# Editable: changes of Python files need no new build.
$(VENV)/.developed: $(SOURCES) $(VENV)/.requirements
	$(need_rust)@echo "Building the extension module (the first time takes some minutes)"
	@PIP_QUIET=1 $(BIN)/maturin develop --locked
	@touch $@

##@ Testing

.PHONY: test
test: develop $(VENV_COMPAT)/.installed $(VENV_EXT)/.installed $(DAPR_SDK_LATEST:%=$(VENV_DAPR_SDK)-%/.installed) test-rust ## Run all tests, Rust and Python
	@$(PYTEST)

.PHONY: test-rust
test-rust: ## Run the Rust tests
	$(need_rust)@cargo test --locked --quiet

.PHONY: test-python
test-python: develop ## Run the Python tests but those against 0.17
	@$(PYTEST) --ignore tests/compat --ignore tests/parity --ignore tests/dapr_sdk

.PHONY: test-examples
test-examples: develop ## Run the examples as tests
	@$(PYTEST) tests/examples

.PHONY: test-compat
test-compat: develop $(VENV_COMPAT)/.installed $(VENV_EXT)/.installed ## Run durabletask-dapr 0.17.4 and dapr-ext-workflow
	@$(PYTEST) tests/compat

ADDRESS ?=
KIND ?= dapr
OTHER ?=

# KIND is dapr or durabletask-go; OTHER=app-id=host:port is the sidecar of a second app, for the tests of calls between apps.
# One test after the other: work goes to any worker that is connected, and each test has its own code.
.PHONY: test-sidecar
test-sidecar: develop $(VENV_COMPAT)/.installed $(VENV_EXT)/.installed ## Run tests on a running sidecar (ADDRESS=host:port KIND=dapr OTHER=)
	@[ -n '$(ADDRESS)' ] || { echo 'expected ADDRESS=host:port, where a sidecar is listening' >&2; exit 2; }
	@DURABLETASK_TEST_SIDECAR='$(ADDRESS)' DURABLETASK_TEST_SIDECAR_KIND='$(KIND)' \
		DURABLETASK_TEST_OTHER_APP='$(OTHER)' \
		$(PY) -m pytest -n 0 $(PYTEST_ARGS) tests/e2e tests/examples/test_examples.py tests/compat

.PHONY: test-deploy
test-deploy: develop ## Roll workers over to new code under load, and let a bad deploy be followed by a good one (ARGS=--help)
	@PYTHONPATH=tests $(PY) -m deploys.run $(ARGS)

.PHONY: test-faults
test-faults: develop ## Kill, stop and starve sidecar and workers under load, for minutes (ARGS=--help shows what can be given)
	@PYTHONPATH=tests $(PY) -m faults.run $(ARGS)

.PHONY: fuzz
fuzz: develop ## Feed random bytes to all that reads bytes from outside, for minutes (ARGS=--help shows what can be given)
	@PYTHONPATH=tests $(PY) -m fuzz.engine $(ARGS)

.PHONY: fuzz-sidecar
fuzz-sidecar: develop ## Make random calls to the embedded sidecar for minutes (ARGS=--help shows what can be given)
	@PYTHONPATH=tests $(PY) -m fuzz.run $(ARGS)

.PHONY: test-dapr-sdk
test-dapr-sdk: develop $(DAPR_SDK_VERSIONS:%=$(VENV_DAPR_SDK)-%/.installed) ## Run Dapr's SDK on this engine, every version that is supported
	@DURABLETASK_DAPR_SDK=$(subst $(space),$(comma),$(DAPR_SDK_VERSIONS)) $(PYTEST) tests/dapr_sdk

PROGRAMS ?= 2000
SEED ?=

.PHONY: test-parity
test-parity: develop $(VENV_COMPAT)/.installed ## Replay random programs here and on 0.17.4 (PROGRAMS=2000 SEED=random)
	@$(PYTEST) tests/parity/test_deviations.py tests/parity/test_cases.py
	@PYTHONPATH=tests $(PY) -m parity.run --programs $(PROGRAMS) $(addprefix --seed ,$(SEED))

$(VENV_COMPAT)/.installed: tests/compat/requirements.txt $(PY)
	@echo "Setting up $(VENV_COMPAT) with durabletask-dapr 0.17.4"
	@$(PY) -m venv --clear $(VENV_COMPAT)
	@$(VENV_COMPAT)/bin/python $(PIP_INSTALL) -r tests/compat/requirements.txt
	@touch $@

# This package itself is found by PYTHONPATH, built for the Python of $(VENV).
$(VENV_EXT)/.installed: tests/compat/requirements-ext.txt $(PY)
	@echo "Setting up $(VENV_EXT) with dapr-ext-workflow 1.17.5"
	@$(PY) -m venv --clear $(VENV_EXT)
	@$(VENV_EXT)/bin/python $(PIP_INSTALL) --no-deps -r tests/compat/requirements-ext.txt
	@touch $@

# 1.18 has its workflows in a distribution of their own. This package itself is found by PYTHONPATH.
$(VENV_DAPR_SDK)-%/.installed: tests/dapr_sdk/requirements.txt $(PY)
	@echo "Setting up $(VENV_DAPR_SDK)-$* with Dapr's SDK $*"
	@$(PY) -m venv --clear $(VENV_DAPR_SDK)-$*
	@$(VENV_DAPR_SDK)-$*/bin/python $(PIP_INSTALL) --no-deps -r tests/dapr_sdk/requirements.txt dapr==$* \
		$(if $(filter 1.18.%,$*),dapr-ext-workflow==$*)
	@touch $@

MATRIX := 3.10 3.11 3.12 3.13

.PHONY: test-matrix
test-matrix: ## Run the Python tests on every installed Python from 3.10 to 3.13
	@tested=; for version in $(MATRIX); do \
		python=$$(sh scripts/find-python.sh $$version); \
		if [ -z "$$python" ]; then echo "--- Python $$version is not installed: left out"; continue; fi; \
		echo "--- Python $$version"; \
		$(MAKE) --no-print-directory test-python VENV=.venv-$$version PYTHON=$$python || exit; \
		tested="$$tested $$version"; \
	done; \
	[ -n "$$tested" ] || { echo "none of Python $(MATRIX) is installed" >&2; exit 1; }; \
	echo "--- passed on Python$$tested"

##@ Measuring

# What is compared is set up by the bench itself: durabletask-dapr in .venv-bench-dapr, Microsoft's durabletask in
# .venv-bench-microsoft.
.PHONY: bench
bench: $(VENV_BENCH)/.installed ## Measure replay against other packages, into benches/results
	@$(VENV_BENCH)/bin/python benches/suite.py --python $(VENV_BENCH)/bin/python $(BENCH_ARGS)

.PHONY: bench-quick
bench-quick: $(VENV_BENCH)/.installed ## Print what replaying a step of a chain costs
	@$(VENV_BENCH)/bin/python benches/replay.py --python $(VENV_BENCH)/bin/python --no-peers --seconds 1

ARGS ?=

.PHONY: bench-end-to-end
bench-end-to-end: $(VENV_BENCH)/.installed ## Measure orchestrations with worker and sidecar (ARGS=--help shows what can be given)
	@$(VENV_BENCH)/bin/python benches/end_to_end.py --python $(VENV_BENCH)/bin/python $(ARGS)

.PHONY: bench-worker
bench-worker: $(VENV_BENCH)/.installed ## Measure what a work item costs a worker, by transport and on 0.17.4 (ARGS=--help)
	@$(VENV_BENCH)/bin/python benches/worker.py --python $(VENV_BENCH)/bin/python --write $(ARGS)

.PHONY: bench-dapr-sdk
bench-dapr-sdk: $(VENV_BENCH)-dapr-sdk/.installed ## Measure Dapr's SDK on its own engine and on this one (ARGS="--address host:port" for daprd)
	@$(VENV_BENCH)-dapr-sdk/bin/python benches/dapr_sdk.py --python $(VENV_BENCH)-dapr-sdk/bin/python $(ARGS)

$(VENV_BENCH)-dapr-sdk/.installed: tests/dapr_sdk/requirements.txt $(VENV_BENCH)/.installed
	@$(PY) -m venv --clear $(VENV_BENCH)-dapr-sdk
	@$(VENV_BENCH)-dapr-sdk/bin/python $(PIP_INSTALL) --no-deps -r tests/dapr_sdk/requirements.txt \
		dapr==$(lastword $(DAPR_SDK_LATEST)) build/bench/*.whl
	@touch $@

GO_SIDECAR ?=

# GO_SIDECAR is durabletask-go's program, built elsewhere.
.PHONY: bench-sidecar
bench-sidecar: $(VENV_BENCH)/.installed ## Put loads on the embedded sidecar (GO_SIDECAR=path puts them on another, too; ARGS=--help)
	@$(VENV_BENCH)/bin/python benches/sidecar_load.py --python $(VENV_BENCH)/bin/python $(if $(GO_SIDECAR),--other '$(GO_SIDECAR)') $(ARGS)

.PHONY: bench-core
bench-core: ## Time the engine alone, without Python (ARGS=chain for one workload)
	$(need_rust)@cargo bench --locked --quiet --package durabletask-core-benches -- $(ARGS)

ACCEPT ?=

.PHONY: bench-instructions
bench-instructions: $(VENV_BENCH)/.installed ## Count instructions a step against what is recorded (ACCEPT=1 records)
	@$(VENV_BENCH)/bin/python benches/instructions.py $(if $(ACCEPT),--accept)

.PHONY: check-instructions
check-instructions: $(PY) ## The same for the engine alone, which is quick: continuous integration does it
	$(need_rust)@$(PY) benches/instructions.py core

# Apart from .venv, whose build is made to be quick to compile.
$(VENV_BENCH)/.installed: $(SOURCES) $(shell find python -name '*.py') $(VENV)/.requirements
	$(need_rust)@$(PY) -m venv --clear $(VENV_BENCH)
	@rm -rf build/bench
	@$(BIN)/maturin build --release --locked --interpreter $(PY) --out build/bench
	@$(VENV_BENCH)/bin/python $(PIP_INSTALL) --constraint requirements-dev.txt build/bench/*.whl pydantic
	@touch $@

##@ Checking

.PHONY: lint
lint: develop ## Check formatting, lints and types
	$(need_rust)@cargo fmt --check
	@cargo clippy --locked --quiet --workspace --all-targets -- --deny warnings
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/stubtest durabletask._core --allowlist scripts/stubtest-allowlist.txt

.PHONY: typecheck
typecheck: develop ## Check Python types
	@$(BIN)/mypy
	@$(BIN)/stubtest durabletask._core --allowlist scripts/stubtest-allowlist.txt

.PHONY: test-types
test-types: develop ## Check a program of a user's with mypy and pyright, and that they find mistakes
	@$(PY) tests/typing/check.py

.PHONY: fmt
fmt: develop ## Format Rust and Python, and apply safe lint fixes
	$(need_rust)@cargo fmt
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

##@ Building

.PHONY: wheel
wheel: $(VENV)/.requirements ## Build a release wheel for the Python of .venv into dist
	$(need_rust)@$(BIN)/maturin build --release --locked --interpreter $(PY) --out dist
	@$(PY) scripts/check_wheel.py

.PHONY: sdist
sdist: $(VENV)/.requirements ## Build the source distribution into dist
	@$(BIN)/maturin sdist --out dist

.PHONY: test-wheel
test-wheel: $(VENV)/.requirements ## Install the wheel away from here and run the examples on it
	@$(PY) scripts/test_wheel.py

.PHONY: gen-proto
gen-proto: ## Regenerate the protocol's Rust code from proto
	$(need_rust)@cargo run --locked --quiet --package durabletask-gen-proto

.PHONY: clean
clean: ## Remove everything that was built or set up
	rm -rf .venv .venv-3.* .venv-compat .venv-ext .venv-dapr-sdk-* .venv-bench* target dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f python/durabletask/_core.*.so python/durabletask/_core.*.pyd
	find python tests examples scripts -name __pycache__ -prune -exec rm -rf {} +

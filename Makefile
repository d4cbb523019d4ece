# The single entry: `make help` lists the targets. CI runs the same ones (.ci/run).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Targets that run cargo would only wait for each other.
.NOTPARALLEL:

CARGO ?= cargo
# Failures stay readable where the caller has RUST_BACKTRACE set.
export RUST_LIB_BACKTRACE := 0

# The whole workspace in one selection, always: another selection has other features, and would build all again.
ALL := --locked --workspace
# Integration tests of the packages; the suites of tests/ have a target of their own.
OWN_TESTS := $(notdir $(patsubst %.rs,%,$(wildcard shared/*/tests/*.rs */tests/*.rs)) \
	$(patsubst %/main.rs,%,$(wildcard shared/*/tests/*/main.rs */tests/*/main.rs)))
SUITES := $(notdir $(patsubst %/main.rs,%,$(wildcard tests/suites/*/main.rs)))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# === Programs ===

.PHONY: demo
demo: setup-build ## Build and start the whole platform on loopback; Ctrl-C stops it
	$(CARGO) build --locked -p lbctl -p global-lb -p regional-lb
	target/debug/lbctl demo $(ARGS)

.PHONY: release
release: setup-build ## Build the programs as they are shipped, into target/release
	$(CARGO) build --locked --release -p lbctl -p global-lb -p regional-lb

.PHONY: image
image: ## Build the image, with podman, buildah or docker (ENGINE=...)
	packaging/image/build.sh $(ARGS)

.PHONY: image-programs
image-programs: ## Build the programs for the image that the tests run, unoptimised and static, into target/image
	packaging/image/programs.sh dev target/image

.PHONY: deb
deb: release ## Build the Debian package from the release, into target/deb
	packaging/deb/build.sh target/release target/deb

.PHONY: bench
bench: ## Measure against HAProxy, nginx and Envoy (15 to 30 minutes; ARGS=--quick: two)
	bench/install-peers.sh
	$(CARGO) build --locked --release -p global-lb -p regional-lb
	$(CARGO) build --locked --release -p lb-core --example pick_time
	$(CARGO) run --locked --release -p strata-bench -- all $(ARGS)

.PHONY: chaos
chaos: ## Play failures on two tiers of Strata, Envoy and HAProxy (40 minutes; ARGS=--quick: 18 minutes)
	bench/install-peers.sh
	$(CARGO) build --locked --release -p global-lb -p regional-lb
	$(CARGO) build --locked -p strata-chaos
	target/debug/strata-chaos $(ARGS)

# === Tests ===

.PHONY: test
test: setup-test fmt-check structure build clippy docs unit doctest black-box ## Install what is needed, build, run every test
	@echo "make test: everything passed"

.PHONY: check
check: fmt-check structure clippy ## What is quick: format, structure, lints

.PHONY: build
build: ## Build programs and tests
	$(CARGO) build $(ALL) --all-targets

.PHONY: unit
unit: ## Unit and property tests, and the tests of each package
	$(CARGO) test $(ALL) --no-fail-fast --lib --bins $(addprefix --test ,$(OWN_TESTS))

.PHONY: doctest
doctest: ## Examples in the documentation comments
	$(CARGO) test $(ALL) --doc

.PHONY: black-box
black-box: build image-programs ## Whole programs on real sockets; ARGS go to the test runner
	CARGO=$(CARGO) scripts/black-box.sh "$(SUITES)" $(ARGS)

# An older version; those before it have faults at the exit of their own, which cost a request now and then.
OLD ?= 6ad370a

.PHONY: mixed
mixed: build ## Roll both tiers from an older version's programs to these, under load (OLD=REVISION)
	rm -rf target/old/source && mkdir -p target/old/source
	git archive $(OLD) | tar -x -C target/old/source
	cd target/old/source && $(CARGO) build --locked --target-dir ../build -p global-lb -p regional-lb
	STRATA_OLD_PROGRAMS=$(CURDIR)/target/old/build/debug $(CARGO) test $(ALL) --test lifecycle -- --ignored --nocapture from_an_older

.PHONY: sim
sim: ## Play 10,000 seeds of both tiers with faults, optimised (LB_SIM_SEEDS, LB_SIM_SEED)
	LB_SIM_SEEDS=$${LB_SIM_SEEDS:-10000} $(CARGO) test --locked --profile sim -p lb-sim --test seeds --test scenarios -- $(ARGS)

.PHONY: measure
measure: ## Print the time of what each request costs in the pure ring (the ignored tests, optimised)
	$(CARGO) test --locked --profile sim -p lb-core --lib -- --ignored --nocapture --test-threads 1

.PHONY: docs
docs: build ## Every example, path and link of the documentation
	scripts/check-docs.sh target/debug

# === Style ===

.PHONY: fmt
fmt: ## Format the sources
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check:
	$(CARGO) fmt --all --check

.PHONY: lint
lint: fmt-check clippy ## Format and lints, warnings refused

.PHONY: clippy
clippy:
	$(CARGO) clippy $(ALL) --all-targets -- -D warnings

.PHONY: structure
structure: ## Sizes, rings, and what may not stand in the sources
	scripts/check-structure.sh

.PHONY: deny
deny: ## Licences, sources and bans of the dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "install it with: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny check bans licenses sources

# === Set-up ===

.PHONY: setup-build
setup-build:
	scripts/setup.sh build

.PHONY: setup-test
setup-test:
	scripts/setup.sh test

.PHONY: clean
clean: ## Remove what was built
	$(CARGO) clean

# Every target is explained by `make help`. CI runs `make lint` and `make test`, and nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO  ?= cargo
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tripline
TOOLS  := $(CACHE)/tools
VENV   := $(CACHE)/venv-tests
BENCH  := $(CACHE)/venv-benches

# Versions of the tools that make installs for itself.
DENY_VERSION    := 0.20.2
FUZZ_VERSION    := 0.13.2
MACHETE_VERSION := 0.9.1

# Tests and lints take in Kafka, which links librdkafka and OpenSSL, built once from source; the demo does without.
FEATURES := --features kafka

TARGET := $(or $(CARGO_TARGET_DIR),target)
TRIPLINE := $(TARGET)/debug/tripline
SAMPLE := pipelines/taxi/sample
PIPELINE  ?= taxi
SCHEDULES ?= 1000
SEED      ?= 0
KILLS     ?= 200
SECONDS   ?= 60
TRIPS     ?= 100000
ROUNDS    ?= 3
EVENTS    ?= 40
MINUTES   ?= 10
ARCH      ?= x86_64
EXAMPLE   ?= kinesis-quickstart
LAKE      ?= $(TARGET)/demo-lake

COUNT = $(CARGO) build --release --package tripline-benches --bin bench && \
    $(TARGET)/release/bench check --baseline benches/tripline/instructions.json

.PHONY: help demo test test-rust test-readers test-benches test-local test-lambda test-fuzz infra-test model sim soak crash fuzz bench bench-check bench-baseline bench-peers bench-bar bench-limits bench-search lint build package template deploy destroy events servers readers browser clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PIPELINE=<folder of pipelines/>: what the demo sends ($(PIPELINE))"
	@echo "             LAKE=<folder or s3://bucket/prefix>: where the demo's lake goes ($(LAKE))"
	@echo "             OPENSEARCH_URL=<url>: a cluster that the demo indexes in, too"

demo: ## Real taxi trips, or PIPELINE=adtech, through the real handlers into Parquet: no server, no account
	$(CARGO) build --quiet --package tripline-cli
	@rm -rf $(TARGET)/demo-lake
	$(TRIPLINE) run --pipeline pipelines/$(PIPELINE) --input pipelines/$(PIPELINE)/sample --lake $(LAKE) \
	    $(addprefix --opensearch ,$(OPENSEARCH_URL))
	@echo
	$(TRIPLINE) audit --pipeline pipelines/$(PIPELINE) --lake $(LAKE)

test: servers test-rust test-readers test-benches test-local test-lambda test-fuzz infra-test ## Everything there is to test, real servers included

test-rust: $(VENV)/ready ## Rust tests; those that need a server start it
	$(CARGO) test --workspace --all-targets $(FEATURES)
	$(CARGO) test --workspace --doc $(FEATURES)

# The tool is built as `test-rust` builds it: on its own it would need dependencies with other features.
test-readers: $(VENV)/ready browser ## Published files as other readers see them: DuckDB, pyarrow
	$(CARGO) test --quiet --workspace --all-targets $(FEATURES) --no-run
	$(VENV)/bin/python -m pytest -q tests/readers

test-benches: $(VENV)/ready ## The comparison's own tools: input, check, ratios
	$(VENV)/bin/python -m pytest -q tests/benches

test-local: ## What README says of the whole system on a laptop, done
	$(CARGO) test --quiet --workspace --all-targets $(FEATURES) --no-run
	tests/local.sh

test-lambda: $(VENV)/ready ## Both functions under cargo lambda, into a folder and onto an S3 server
	PATH="$(VENV)/bin:$$PATH" tests/cargo-lambda.sh

test-fuzz: SECONDS := 10
test-fuzz: fuzz ## Fuzzers for some seconds each; their corpus is part of `test-rust`

infra-test: ## Terraform and CDK: formatting, validation, templates, mocked providers, tables, contract, roles, packages, costs
	tests/infra/run.sh

model: ## Model-check the protocol at all bounds and look for every mutant; prints the states explored
	$(CARGO) run --quiet --package tripline-protocol-model

# Built with the whole workspace's features, as `test-rust` builds it.
sim: ## Play random schedules against the real code: SCHEDULES=1000 SEED=0; a single one is printed
	$(CARGO) build --quiet --workspace $(FEATURES) --bin simulate
	SCHEDULES=$(SCHEDULES) SEED=$(SEED) $(TARGET)/debug/simulate

# Seeds that nobody has played yet, unless one is given.
soak: SEED := $(shell date +%s)000000
soak: SCHEDULES :=
soak: ## Play schedules that no seed has shown before: MINUTES=10, or as many as SCHEDULES says
	$(CARGO) build --quiet --workspace $(FEATURES) --bin simulate
	SCHEDULES=$(SCHEDULES) SEED=$(SEED) MINUTES=$(if $(SCHEDULES),,$(MINUTES)) $(TARGET)/debug/simulate

crash: servers $(VENV)/ready ## Kill processes at random moments, on a real S3 server: KILLS=200 SEED=0
	KILLS=$(KILLS) SEED=$(SEED) $(CARGO) test --quiet --workspace $(FEATURES) --test crash -- --nocapture

# Without a sanitizer they need no other toolchain than the rest: no line of theirs is unsafe. What they find
# anew stays outside the checkout, but for an input that fails: see fuzz/README.md.
fuzz: $(TOOLS)/bin/cargo-fuzz ## Fuzz envelope, aggregate, record, entry and checkpoint: SECONDS=60 each
	@set -o pipefail; for target in envelope aggregate record entry checkpoint; do \
	  mkdir -p $(TARGET)/fuzz/corpus/$$target && \
	  $(TOOLS)/bin/cargo-fuzz fuzz run $$target --sanitizer none --codegen-units 16 --target-dir $(TARGET)/fuzz \
	    $(TARGET)/fuzz/corpus/$$target fuzz/corpus/$$target -- -max_total_time=$(SECONDS) -max_len=4096 \
	    -dict=fuzz/json.dict -timeout=20 -rss_limit_mb=2560 -verbosity=0 -print_final_stats=1 \
	    2>&1 | grep --invert-match ' # Uses: ' || exit 1; \
	done

lint: $(TOOLS)/bin/cargo-machete $(TOOLS)/bin/cargo-deny ## Formatting, clippy, unused dependencies, licences, shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets $(FEATURES) -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --quiet --workspace $(FEATURES) --no-deps
	$(TOOLS)/bin/cargo-machete
	$(TOOLS)/bin/cargo-deny --log-level error check bans licenses sources
	find tests infra .ci -name node_modules -prune -o \( -name '*.sh' -o -path .ci/run \) -print | xargs -n 1 bash -n

# The functions are built beside it: the whole of what is measured is what is deployed.
bench: ROUNDS := 9
bench: ## What it costs, stage by stage and as whole processes, beside a naive function; also in target/bench: ROUNDS=9
	$(CARGO) build --release --package tripline-benches --package tripline-ingest --package tripline-publish --bins
	$(TARGET)/release/bench run --rounds $(ROUNDS) --report $(TARGET)/bench

bench-check: ## Instructions of each stage, counted by valgrind, against benches/tripline/instructions.json: not 5 % more
	@if command -v valgrind >/dev/null; then $(COUNT); \
	else echo "left out: bench-check: there is no valgrind (Debian: apt-get install valgrind)" >&2; fi

bench-baseline: ## Count them and write that file anew
	$(COUNT) --write

# What is compared, and with what left out: docs/performance.md. Peers that this machine cannot build are left out.
bench-peers: ROUNDS := 5
bench-peers: $(BENCH)/ready ## Tripline beside other systems, checked row by row: ONLY=ours,polars ROUNDS=5 EVENTS=40
	CARGO="$(CARGO)" $(BENCH)/bin/python -m benches.peers.run --target $(TARGET)/bench/peers \
	    --only "$(ONLY)" --rounds $(ROUNDS) --events $(EVENTS) $(ARGUMENTS)

# Timed, so no part of `test`: a machine that does much else may miss it.
bench-bar: $(BENCH)/ready ## Fail where both functions are not 8 times as fast as a Python Lambda and 2.5 times as Polars
	CARGO="$(CARGO)" $(BENCH)/bin/python -m benches.peers.run --target $(TARGET)/bench/bar --rounds $(ROUNDS) --events 10 \
	    --only python-lambda,python-lambda-orjson,polars,ours --bar python-lambda=8 --bar polars=2.5

bench-limits: $(BENCH)/ready ## What native code needs for each stage, driven from Python
	$(BENCH)/bin/python -m benches.peers.events --out $(TARGET)/bench/limits --events 1
	$(BENCH)/bin/python benches/peers/python/limits.py $(TARGET)/bench/limits/events/00000.json $(TARGET)/bench/limits/zones.json

bench-search: $(BENCH)/ready servers ## Indexing beside a Python loop, on one server: TRIPS=100000 ROUNDS=3
	$(CARGO) build --release --workspace --bin tripline
	OS_PORT=9270 OS_HEAP=2g OS_JVM=-XX:+UseG1GC tests/servers/up start opensearch
	$(BENCH)/bin/python -m benches.opensearch.compare --tripline $(TARGET)/release/tripline --url http://127.0.0.1:9270 \
	    --target $(TARGET)/bench/search --trips $(TRIPS) --rounds $(ROUNDS); \
	    code=$$?; OS_PORT=9270 tests/servers/up stop opensearch; exit $$code

build: ## Optimised binaries of the functions and the tool, in target/release
	$(CARGO) build --release --workspace

package: ## Zips of both functions with a pipeline, in target/lambda: ARCH=x86_64 or arm64, PIPELINE=taxi, KAFKA=1
	PATH="$(VENV)/bin:$$PATH" CARGO="$(CARGO)" KAFKA="$(KAFKA)" infra/build.sh $(ARCH) pipelines/$(PIPELINE)

template: infra/cdk/node_modules/.package-lock.json ## Templates for CloudFormation alone, in target/infra: PIPELINE=taxi
	cd infra/cdk && npm run --silent build && node build/template.js $(abspath $(TARGET))/infra $(PIPELINE)
	@ls $(TARGET)/infra/*.template.json

deploy: ## Put up an example of Terraform's with these zips: EXAMPLE=kinesis-quickstart ARGUMENTS='-var name=trips'
	infra/deploy.sh apply "$(EXAMPLE)" $(ARGUMENTS)

destroy: ## Destroy it: EXAMPLE=kinesis-quickstart ARGUMENTS='-var name=trips'
	infra/deploy.sh destroy "$(EXAMPLE)" $(ARGUMENTS)

events: ## Write the sample events in events/ again
	$(CARGO) run --quiet --package tripline-cli -- events --input $(SAMPLE) --output events

servers: ## Install the servers that tests need
	tests/servers/up install

browser: ## Install Chromium, which opens the report in a test, where Debian's packages and root allow it
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium; } >/dev/null \
	  || echo "Chromium is not installed and cannot be: the tests that need it are left out" >&2

readers: $(VENV)/ready ## Install the readers that tests need: DuckDB, pyarrow

clean: ## Remove what was built; servers and tools stay cached
	$(CARGO) clean

$(TOOLS)/bin/cargo-machete:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-machete@$(MACHETE_VERSION)

$(TOOLS)/bin/cargo-fuzz:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-fuzz@$(FUZZ_VERSION)

$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-deny@$(DENY_VERSION)

infra/cdk/node_modules/.package-lock.json: infra/cdk/package-lock.json
	cd infra/cdk && npm ci --silent
	@touch $@

$(VENV)/ready: tests/requirements.txt
$(BENCH)/ready: benches/requirements.txt
$(VENV)/ready $(BENCH)/ready:
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	@touch $@

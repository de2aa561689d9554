# Marram's commands. A newcomer needs two: `make up` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
PROFILE ?= release
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET_DIR)/$(PROFILE)/marram
VENV := .venv
PY := $(VENV)/bin/python
DATA ?= var
ARGS ?=

.PHONY: help up package build edge edge-order console test test-rust conformance console-test peers-test lint bench fuzz soak codegen

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

CONSOLE := apps/console
CONSOLE_SOURCES := $(shell find $(CONSOLE)/src $(CONSOLE)/public $(CONSOLE)/tools -type f 2>/dev/null) $(addprefix $(CONSOLE)/,index.html vite.config.ts)

console: $(CONSOLE)/dist/index.html ## the web console's pages, which marram carries inside

# Not `npm ci`: it refuses a lock without entries for optional packages of other platforms that a registry does not have.
$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package-lock.json
	cd $(CONSOLE) && npm install --no-save --no-fund --no-audit --loglevel=error
	@touch $@

# Cargo sees new contents of embedded files but not new files, so it is told.
$(CONSOLE)/dist/index.html: $(CONSOLE)/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	cd $(CONSOLE) && npm run --silent build
	@touch $@ crates/control/console/src/site.rs

build: console ## build the release binaries
	$(CARGO) build --locked --release -p marram -p marram-core -p marram-jail

# Cargo does not look at what the linker reads.
apps/marram-core/src/main.rs: packaging/edge-order
	@touch $@

# Seeds of random numbers come from the operating system and the processor's generator: the timing of the processor as a further
# source takes 20 to 100 ms and 130 kB before the first one.
edge: export AWS_LC_SYS_NO_JITTER_ENTROPY = 1
# SQLite takes pages and small pieces of memory when it needs them, not 140 kB at once when a file is opened.
edge: export LIBSQLITE3_FLAGS = $(shell sed -n '/^LIBSQLITE3_FLAGS/,/"""$$/p' .cargo/config.toml | tr -d '"\\\n' | sed 's/^[^=]*= *//') \
  -DSQLITE_DEFAULT_PCACHE_INITSZ=0 -DSQLITE_DEFAULT_LOOKASIDE=0,0
edge: export RUSTFLAGS += -Csymbol-mangling-version=v0
edge: export RELINK = $(abspath $(TARGET_DIR))/edge/relink
edge: apps/marram-core/src/main.rs ## marram-core and marram-jail as gateways get them: small; takes some minutes
	$(CARGO) rustc --locked --profile edge -p marram-core --bin marram-core -- $$(tools/edge-link $(TARGET_DIR)/edge)
	$(CARGO) build --locked --profile edge -p marram-jail

# MARRAM names a control plane that is there already. The program is linked once more, not compiled, and is then newer than the list.
edge-order: edge tools/ready ## write anew which functions a resting core needs side by side, and link it so; then commit packaging/edge-order
	$(if $(MARRAM),,$(CARGO) build --locked -p marram)
	$(PY) tools/edge-order $(or $(MARRAM),$(TARGET_DIR)/debug/marram) $(TARGET_DIR)/edge/marram-core packaging/edge-order
	tools/edge-link $(TARGET_DIR)/edge >/dev/null
	$(TARGET_DIR)/edge/relink/again
	@touch -r apps/marram-core/src/main.rs packaging/edge-order

package: tools/ready edge ## a Debian package of marram-core with its systemd unit, in $(TARGET_DIR)/package
	tools/package $(TARGET_DIR)/edge $(TARGET_DIR)/package

up: build ## build what is needed, then run everything on this machine, data in ./var, in the foreground
	$(BIN) up --data $(DATA) $(ARGS)

test: tools/ready console ## every test that runs on one machine; installs what it needs
	$(MAKE) test-rust
	$(MAKE) conformance
	$(MAKE) console-test
	@tools/test-summary $(TARGET_DIR)

test-rust:
	$(CARGO) nextest run --locked --workspace --no-fail-fast

conformance: tools/ready console ## foreign clients (boto3, AWS CLI, device SDKs, mosquitto) against the built binary
	$(CARGO) nextest run --locked --workspace --no-run
	@$(MAKE) --no-print-directory codegen CHECK=--check
	MARRAM_BIN=$(abspath $(TARGET_DIR)/debug/marram) MARRAM_CORE_BIN=$(abspath $(TARGET_DIR)/debug/marram-core) \
	  $(PY) -m pytest conformance -q -p no:cacheprovider --junitxml=$(abspath $(TARGET_DIR))/conformance.xml

PEER ?= build/peers/lite

peers-test: tools/ready ## the original nucleus lite, installed below PEER (default build/peers/lite), against the built binary; needs root and systemd
	@test -x $(PEER)/bin/ggdeploymentd || { echo "peers-test: no nucleus lite is installed below $(PEER): docs/book/src/original-cores.md" >&2; exit 1; }
	@test "$$(id -u)" = 0 || { echo "peers-test: its systemd needs root" >&2; exit 1; }
	$(CARGO) build --locked -p marram -p marram-core -p marram-jail
	MARRAM_NUCLEUS_LITE=$(abspath $(PEER)) MARRAM_BIN=$(abspath $(TARGET_DIR)/debug/marram) \
	  unshare --net sh -c 'ip link set lo up && exec "$$@"' - \
	  $(PY) -m pytest conformance/test_nucleus_lite.py -q -p no:cacheprovider --junitxml=$(abspath $(TARGET_DIR))/peers.xml

console-test: tools/ready console ## the console: types, lint, unit tests, and a browser against a scripted server and against marram itself
	$(CARGO) nextest run --locked --workspace --no-run
	cd $(CONSOLE) && MARRAM_BIN=$(abspath $(TARGET_DIR)/debug/marram) MARRAM_JUNIT_DIR=$(abspath $(TARGET_DIR))/console npm test --silent

.PHONY: tools/ready
tools/ready:
	@tools/ready $(VENV)

lint: ## format, clippy, licences, spec coverage
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) run --locked -q -p xtask -- spec-coverage
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked --version 0.20.2 cargo-deny
	$(CARGO) deny --locked check bans licenses sources

codegen: tools/ready ## write the AWS operation tables from the installed service models
	$(CARGO) run --locked -q -p xtask -- codegen $(CHECK) --models $$($(PY) -c 'import botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), "data"))')

bench: tools/ready ## all benchmarks, ours and the peers that are installed, one JSON line per result
	tools/bench $(ARGS)

fuzz: ## each fuzz target for FUZZ_SECONDS (default 60)
	tools/fuzz $(or $(FUZZ_SECONDS),60) $(ARGS)

soak: tools/ready ## the demo and deployments under kill -9 at KILLS random points each (default 1000), and FLEET simulated cores (default 10000); seeds printed
	$(CARGO) build --locked -p marram -p marram-core -p marram-jail
	MARRAM_KILLS=$(or $(KILLS),1000) MARRAM_FULL_DISKS=100 MARRAM_BIN=$(abspath $(TARGET_DIR)/debug/marram) MARRAM_CORE_BIN=$(abspath $(TARGET_DIR)/debug/marram-core) \
	  $(PY) -m pytest conformance/test_survives_kill.py conformance/test_deployments_survive_kill.py conformance/test_deployments_roll_back.py -q -s -p no:cacheprovider
	MARRAM_FLEET=$(or $(FLEET),10000) $(CARGO) nextest run --locked -p marram-deployer --test fleet --run-ignored all --no-capture

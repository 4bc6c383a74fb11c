# The commands a person types; CI runs the same ones. Each installs what it misses (.ci/install) and then works alone.

# A Rust of the user's own is not on the path of every shell.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# One profile (dev, with optimised dependencies: see Cargo.toml) for everything that is tested, so that it is built once.
target_dir := $(abspath $(or $(CARGO_TARGET_DIR),target))
export PORTHOLE_BIN := $(target_dir)/debug/porthole

# Clippy compiles what is tested (.ci/rustc), so that what is linted and what is run are one build.
build unit doc page network board board-quick test: export RUSTC_WORKSPACE_WRAPPER := $(CURDIR)/.ci/rustc

# What npm writes last when it installs.
browser_driver := tests/page/node_modules/.package-lock.json

step := @.ci/step

ifeq ($(shell uname -m),x86_64)
scenarios := $(step) "emulated board" cargo test --locked --test board -- --ignored --test-threads=1
else
scenarios := @echo "==> emulated board: LEFT OUT: it is an amd64 board, and runs only what was built on one"; :
endif

.PHONY: help run test bench fuzz cross deb pi board board-quick fmt fmt-check lint doc page network unit build setup-run setup-test
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: setup-run ## builds and starts porthole, and prints its address: make run ARGS="--camera pattern"
	@cargo build --release --locked
	@exec cargo run --release --locked --quiet -- run $(ARGS)

test: setup-test fmt-check build unit doc page network board-quick ## every check but the long scenarios; stops at the first that fails

bench: setup-test $(browser_driver) ## the benchmarks; takes ten minutes of a machine that does nothing else
	cargo build --release --locked --example fake_camera
	cargo bench --locked --bench convert
	cargo bench --locked --bench stream

# How long each fuzzer runs.
SECONDS ?= 60

fuzz: setup-test ## fuzzers of what cameras send and networks and people write, a minute each: make fuzz SECONDS=600 ARGS="mjpeg"
	.ci/fuzz $(SECONDS) $(ARGS)

board: setup-test build ## all scenarios on an emulated board (amd64 only)
	$(scenarios) scenarios::

board-quick: setup-test build ## the short ones of them
	$(scenarios) quick_

cross: setup-run ## builds for another kind of board: make cross TARGET=aarch64-unknown-linux-gnu
	@.ci/cross $(TARGET)

deb: setup-run ## the Debian package: make deb TARGET=armv7-unknown-linux-gnueabihf
	@.ci/deb $(TARGET)

pi: setup-test ## the packages on emulated Raspberry Pis; the first time it takes twenty minutes: make pi ARGS=pi2 for the 32-bit one
	$(step) "emulated Raspberry Pis" .ci/pi $(ARGS)

fmt: setup-test ## formats the sources
	cargo fmt

fmt-check:
	$(step) "format" cargo fmt --check

lint: setup-test ## clippy alone, warnings are errors; quicker than a build, of which it is a part
	$(step) "clippy" cargo clippy --locked --all-targets -- -D warnings

unit: build ## unit and integration tests
	$(step) "tests" cargo test --locked

doc: build ## the documentation, warnings are errors
	$(step) "documentation" env RUSTDOC=$(CURDIR)/.ci/rustdoc cargo test --locked --doc

page: build $(browser_driver) ## the viewer page in a real browser
	$(step) "page" sh -c 'cd tests/page && node --test --test-concurrency=2'

network: build $(browser_driver) ## the page across networks, with network namespaces for hosts
	$(step) "network" sh -c 'cd tests/network && ./isolated node --test --test-concurrency=1'

$(browser_driver): tests/page/package-lock.json | setup-test
	cd tests/page && npm ci --no-audit --no-fund

# All that the tests run and clippy looks at, with the features that the tests' own dependencies switch on: another set would
# build them again.
build: setup-test
	$(step) "clippy and build" cargo test --locked --all-targets --no-run

setup-run: ## installs what building and running needs
	@.ci/install run

setup-test: ## installs what the checks need
	@.ci/install test

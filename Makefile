# Commands for developers; CI runs the same ones. Each installs what is missing (.ci/install) and needs no other step.

# A rustup installation is not in the PATH of every shell.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# All tests use one profile (dev, with optimised dependencies: see Cargo.toml), so that everything is built once.
target_dir := $(abspath $(or $(CARGO_TARGET_DIR),target))
export PORTHOLE_BIN := $(target_dir)/debug/porthole
export LINK_BIN := $(target_dir)/debug/examples/link

# Clippy is the compiler of the tests (.ci/rustc), so that linting and testing share one build.
build unit doc page network players board board-quick test: export RUSTC_WORKSPACE_WRAPPER := $(CURDIR)/.ci/rustc

# Tests at once: they mostly wait.
tests_at_once := $(shell expr 2 \* $$(nproc))

# The last file that npm writes during an installation.
browser_driver := tests/page/node_modules/.package-lock.json

step := @.ci/step

ifeq ($(shell uname -m),x86_64)
scenarios := $(step) "emulated board" cargo test --locked --test board -- --ignored --test-threads=1
else
scenarios := @echo "==> emulated board: SKIPPED: it runs amd64 programs, which are built only on an amd64 machine"; :
endif

.PHONY: help run test bench bench-peers bench-network bench-card soak recordings fuzz cross deb pi players board board-quick fmt fmt-check lint doc page network unit build setup-run setup-test
.NOTPARALLEL:

help: ## shows this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

# How `make run` builds: release, or quick, which skips optimisation across crates (see Cargo.toml).
PROFILE ?= release

run: setup-run ## builds and starts porthole and prints its address: make run PROFILE=quick ARGS="--camera pattern"
	@cargo build --profile $(PROFILE) --locked
	@exec cargo run --profile $(PROFILE) --locked --quiet -- run $(ARGS)

test: setup-test fmt-check build unit doc page network board-quick ## all checks except the long scenarios; stops at the first failure

bench: setup-test $(browser_driver) ## runs the benchmarks: ten minutes on an otherwise idle machine
	cargo build --release --locked --example fake_camera
	cargo bench --locked --bench convert
	cargo bench --locked --bench rate
	cargo bench --locked --bench voice
	cargo bench --locked --bench stream

bench-peers: setup-test ## measures other servers beside porthole, where they are installed: half an hour on an idle machine
	cargo build --release --locked --bin porthole --example fake_camera
	PORTHOLE=$(target_dir)/release/porthole benches/peers/run --output $(target_dir)/bench \
		--fake $(target_dir)/release/examples/libfake_camera.so $(ARGS)

bench-card: setup-test ## measures what a recording writes to its card, as root: seven minutes
	cargo build --release --locked --bin porthole
	benches/card/run --porthole $(target_dir)/release/porthole $(ARGS)

# How long the soak takes; below a quarter of an hour it is a try that judges no growth.
HOURS ?= 8

soak: setup-test ## runs porthole under changing viewers, loss and faults, fails if anything grows: make soak HOURS=8
	cargo build --release --locked --bin porthole --example viewer --example fake_camera
	benches/soak/run --hours $(HOURS) --porthole $(target_dir)/release/porthole \
		--viewer $(target_dir)/release/examples/viewer --fake $(target_dir)/release/examples/libfake_camera.so \
		--output $(target_dir)/soak

# How long is recorded in each mode.
MINUTES ?= 30

recordings: setup-test ## records for half an hour and checks every frame, the sound and the cost: make recordings MINUTES=5
	MINUTES=$(MINUTES) cargo test --release --locked --test recordings -- --ignored --nocapture minutes_of_recording

bench-network: setup-test $(browser_driver) ## measures video over slow links, beside Chromium as the sender, on an idle machine
	cargo build --release --locked
	cargo build --release --locked --example link
	cd tests/network && PORTHOLE_BIN=$(target_dir)/release/porthole LINK_BIN=$(target_dir)/release/examples/link \
		./isolated node bench.mjs $(ARGS)

# The run time of each fuzzer.
SECONDS ?= 60

fuzz: setup-test ## fuzzes the parsers of camera, network and user input, a minute each: make fuzz SECONDS=600 ARGS="mjpeg"
	.ci/fuzz $(SECONDS) $(ARGS)

board: setup-test build ## runs all scenarios on an emulated board (amd64 only)
	$(scenarios) scenarios::

board-quick: setup-test build ## runs the short scenarios only
	$(scenarios) quick_

cross: setup-run ## builds for another architecture: make cross TARGET=aarch64-unknown-linux-gnu
	@.ci/cross $(TARGET)

deb: setup-run ## builds the Debian package: make deb TARGET=armv7-unknown-linux-gnueabihf
	@.ci/deb $(TARGET)

pi: setup-test ## tests the packages on emulated Raspberry Pis, at first for twenty minutes; 32-bit only: make pi ARGS=pi2
	$(step) "emulated Raspberry Pis" .ci/pi $(ARGS)

players: setup-test build ## plays in GStreamer, VLC, Pion, Firefox and aiortc: ten minutes
	@.ci/install players
	$(step) "players" cargo test --locked --test players -- --ignored --test-threads=1

fmt: setup-test ## formats the sources
	cargo fmt

fmt-check:
	$(step) "format" cargo fmt --check

lint: setup-test ## runs clippy only (also part of build); warnings are errors
	$(step) "clippy" cargo clippy --locked --all-targets -- -D warnings

unit: build ## runs the unit and integration tests
	$(step) "tests" env RUST_TEST_THREADS=$(tests_at_once) cargo test --locked

doc: build ## builds the documentation; warnings are errors
	$(step) "documentation" env RUSTDOC=$(CURDIR)/.ci/rustdoc cargo test --locked --doc

page: build $(browser_driver) ## tests the viewer page in a real browser
	$(step) "page" sh -c 'cd tests/page && node --test --test-concurrency=2'

network: build $(browser_driver) ## tests the page across networks, with network namespaces as hosts
	$(step) "network" sh -c 'cd tests/network && ./isolated node --test --test-concurrency=1'

$(browser_driver): tests/page/package-lock.json | setup-test
	cd tests/page && npm ci --no-audit --no-fund

# Builds and lints everything that the tests run, with one set of features: another set would build the dependencies again.
build: setup-test
	$(step) "clippy and build" sh -c 'cargo test --locked --no-run && cargo test --locked --benches --no-run'

setup-run: ## installs the requirements for building and running
	@.ci/install run

setup-test: ## installs the requirements for the checks
	@.ci/install test

# `make run` demonstrates the product, `make test` tests it. Both work on a fresh Debian or Ubuntu with
# Rust, gcc and make. They install what else they need if they may, and otherwise name it.

CARGO ?= cargo
# The lock file is part of the tested product.
LOCKED := --locked

.PHONY: run test fmt lint doc bench bench-load fuzz soak flood weekend audit sbom deb package-test image setup clean

## Build and run the demo: a proxy, two receivers, a dozen deliveries and their results.
run:
	@scripts/setup build
	$(CARGO) run $(LOCKED) -- demo

# Most tests wait for a server or a clock most of the time.
TEST_THREADS ?= $(shell expr 2 '*' $$(nproc))

## All checks that must pass before a change is merged.
test: setup lint doc
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test $(LOCKED) --workspace --features otlp --no-fail-fast

setup:
	@scripts/setup test

## Format the code.
fmt:
	$(CARGO) fmt --all

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --workspace --all-targets --features otlp -- -D warnings
	$(CARGO) clippy $(LOCKED) --lib --bins --examples -- -D warnings

# With the examples, whose dependencies have the features that the linter has checked them with. Without
# them, a tenth of the dependencies would be checked once more.
doc: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --workspace --no-deps --features otlp --lib --examples

## Measure, and compare with earlier runs.
bench:
	@scripts/setup build
	$(CARGO) bench $(LOCKED)

## Compare the cost of a delivery with a pass-through on the same Pingora and, if installed, with nginx,
## nginx with Lua, HAProxy and Redis. Takes about ten minutes and writes docs/performance.*
BENCH_ROUNDS ?= 5
bench-load:
	@scripts/setup bench-load
	$(CARGO) build $(LOCKED) --profile bench-load
	CARGO_TARGET_DIR=target/load $(CARGO) build $(LOCKED) --release --manifest-path benches/load/Cargo.toml
	target/load/release/hookward-load run target/bench-load/hookward docs $(BENCH_ROUNDS)

## Fuzz the code that reads untrusted bytes with libFuzzer, each target for FUZZ_SECONDS. Findings go to
## fuzz/found; `make test` runs the corpora in fuzz/corpus.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= chunks config glob head json signature structured template
fuzz:
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 || { \
		echo "fuzz: install it with: rustup toolchain install nightly && cargo install --locked cargo-fuzz" >&2; \
		exit 1; }
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/found/$$target && \
		$(CARGO) +nightly fuzz run --sanitizer none $$target fuzz/found/$$target fuzz/corpus/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1 || exit 1; \
	done

## A minute at 80 % of the machine's capacity: memory stays flat, every event arrives once.
SOAK_SECONDS ?= 60
soak:
	SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test $(LOCKED) --release --test it -- --nocapture \
		faults::under_load_memory_stays_flat

## Measure how a flood of forged deliveries affects the latency of good ones.
flood:
	$(CARGO) build $(LOCKED) --release
	$(CARGO) run $(LOCKED) --release --example flood -- target/release/hookward

## What the inbox costs: an acceptance beside a flush, a healthy `spill` route beside a `sync` one, and 50,000
## events in ten seconds against a closed port, which is opened then. docs/inbox.md has the figures.
WEEKEND_EVENTS ?= 50000
weekend:
	$(CARGO) build $(LOCKED) --profile bench-load --bin hookward --example weekend
	target/bench-load/examples/weekend target/bench-load/hookward $(WEEKEND_EVENTS)

## Advisories, licences, sources and duplicates of all dependencies. Apart from `test`, because the
## advisory database is on a host that not every machine reaches.
audit:
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo "audit: install it with: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny $(LOCKED) check

## Write the bill of materials of the binary as an SPDX document; the image contains the same file.
sbom:
	@mkdir -p target
	scripts/sbom > target/hookward.spdx

## Make the Debian package.
deb:
	scripts/deb

## Make the package, check it with lintian, and install and run it in a fresh Debian. Needs root.
package-test:
	scripts/package-test

## Build the container image.
image:
	docker build -t hookward:$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1) .

clean:
	$(CARGO) clean

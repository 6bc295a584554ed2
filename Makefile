# `make run` shows the product, `make test` proves it. Both work on a fresh Debian or Ubuntu with
# Rust, gcc and make: what else is needed is installed where that is allowed, and named where not.

CARGO ?= cargo
# The lock file is part of what is tested.
LOCKED := --locked

.PHONY: run test fmt lint doc bench audit sbom image setup clean

## Build and run the demo: a proxy, two receivers, a dozen deliveries and what became of them.
run:
	@scripts/setup build
	$(CARGO) run $(LOCKED) -- demo

## Everything that has to hold before a change is merged.
test: setup lint doc
	$(CARGO) test $(LOCKED) --no-fail-fast
	$(CARGO) test $(LOCKED) --features otlp --test it spans::

setup:
	@scripts/setup test

## Format the code.
fmt:
	$(CARGO) fmt

lint: setup
	$(CARGO) fmt --check
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings
	$(CARGO) clippy $(LOCKED) --all-targets --features otlp -- -D warnings

doc: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --no-deps

## Measure; results of earlier runs are compared with.
bench:
	@scripts/setup build
	$(CARGO) bench $(LOCKED)

## Advisories, licences, sources and duplicates of all dependencies. Apart from `test`, because the
## advisory database is on a host that not every machine reaches.
audit:
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo "audit: install it with: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny $(LOCKED) check

## What the binary is made of, as an SPDX document; the image carries the same file.
sbom:
	@mkdir -p target
	scripts/sbom > target/hookward.spdx

## The container image.
image:
	docker build -t hookward:$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1) .

clean:
	$(CARGO) clean

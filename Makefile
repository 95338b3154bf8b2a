# Bare `make` lists the targets.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help run test check fmt build bench

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 16

run: ## build, show the whole story on loopback, then stay up with a key and curl lines to copy
	$(CARGO) build --locked -p statuspulse
	target/debug/statuspulse demo --stay

test: ## all tests
	$(CARGO) test --locked --workspace

check: ## formatting, lints as errors, the dependency rule
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked -p statuspulse --test architecture

fmt: ## format the code
	$(CARGO) fmt --all

build: ## the release program: target/release/statuspulse
	$(CARGO) build --locked --release -p statuspulse

bench: build ## measure speed, memory and isolation on loopback (BENCH="--quick --scenario low")
	$(CARGO) run --locked --release -p statuspulse-bench -- --program target/release/statuspulse $(BENCH)

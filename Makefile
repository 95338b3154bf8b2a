# Bare `make` lists the targets.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help run test browser check fmt docs-check openapi api-fuzz build sim mutants bench venv libraries test-tools lint-infra aws-local invoke bill coldstart
PYTHON ?= python3
VENV := target/venv

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 16

run: ## build, show the whole story on loopback, then stay up with a key and curl lines to copy
	$(CARGO) build --locked -p statuspulse
	target/debug/statuspulse demo --stay

test: venv libraries lint-infra api-fuzz ## all tests, those of the functions in an emulator of AWS included
	$(VENV)/bin/python -m unittest discover --start-directory infra/emulator --pattern test_launch.py
	$(CARGO) test --locked --workspace
	$(MAKE) --no-print-directory browser

# Python for the emulator, the linters of the template, the fuzzer of the API and a library of docs/verify, from lock files with hashes.
venv: $(VENV)/.installed
$(VENV)/.installed: infra/emulator/requirements.txt infra/requirements-lint.txt infra/requirements-invoke.txt local/tests/fuzz/requirements.txt docs/verify/with-library/requirements.txt
	rm -rf $(VENV) target/venv-lint target/venv-fuzz
	for folder in $(VENV) target/venv-lint target/venv-fuzz; do $(PYTHON) -m venv $$folder || exit 1; done
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r infra/emulator/requirements.txt
	target/venv-lint/bin/pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements-lint.txt
	target/venv-fuzz/bin/pip install --quiet --disable-pip-version-check --require-hashes -r local/tests/fuzz/requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r infra/requirements-invoke.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r docs/verify/with-library/requirements.txt
	touch $@

# The library that docs/verify shows for Node, from its lock file. Without Node the tests say that they left it out.
WITH_LIBRARY := docs/verify/with-library
libraries: $(if $(shell command -v npm 2>/dev/null),$(WITH_LIBRARY)/node_modules/.package-lock.json)
$(WITH_LIBRARY)/node_modules/.package-lock.json: $(WITH_LIBRARY)/package-lock.json
	cd $(WITH_LIBRARY) && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

# What the tests run that is neither Rust nor Python: each as the command it is found by, and Debian's package that has it.
TEST_TOOLS := node:nodejs npm:npm chromium:chromium go:golang-go ruby:ruby php:php-cli javac:default-jdk-headless openssl:openssl
MISSING = $(strip $(foreach tool,$(TEST_TOOLS),$(if $(shell command -v $(firstword $(subst :, ,$(tool))) 2>/dev/null),,$(lastword $(subst :, ,$(tool))))))

test-tools: ## the languages of docs/verify and a browser for the dashboard, from Debian; who is not root is told the command
	@if [ -z "$(MISSING)" ]; then echo "every language of docs/verify and the browser are here"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MISSING) >/dev/null; \
	else echo "not all that is tested with is here, and the tests will say what they left out. On Debian: sudo apt-get install --no-install-recommends $(MISSING)"; fi

BROWSER_TESTS := shared/dashboard/e2e
browser: ## the dashboard in Chromium, against the program
	$(CARGO) build --locked -p statuspulse
	@if command -v npm >/dev/null && command -v $${STATUSPULSE_CHROMIUM:-chromium} >/dev/null; then \
	  cd $(BROWSER_TESTS) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund && npx --no-install playwright test; \
	else echo "the dashboard was NOT tested in a browser: no npm or no Chromium here (make test-tools)"; fi

FUNCTIONS := registration dashboard fanout delivery pause drain
FUNCTION_PACKAGES := $(FUNCTIONS:%=-p statuspulse-function-%)

aws-local: venv ## the functions as deployed, in an emulator of AWS, for you to call (Ctrl-C ends it)
	$(CARGO) build --locked --bins $(FUNCTION_PACKAGES)
	$(VENV)/bin/python infra/aws_local.py

invoke: venv ## one function with its sample event, by cargo lambda invoke, in the emulator: make invoke FUNCTION=fanout
	$(CARGO) build --locked --bins $(FUNCTION_PACKAGES)
	$(VENV)/bin/python infra/aws_local.py --invoke $(FUNCTION)

bill: venv ## what AWS is asked for a thousand deliveries, and what it costs
	$(CARGO) test --locked -p statuspulse-functions-e2e bill -- --nocapture

coldstart: venv ## each function's start and invocations against a stand-in for Lambda, as released
	$(CARGO) build --locked --release --bins $(FUNCTION_PACKAGES)
	$(VENV)/bin/python infra/coldstart.py target/release

lint-infra: venv ## the template: cfn-lint and sam validate
	target/venv-lint/bin/cfn-lint infra/template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 target/venv-lint/bin/sam validate --lint --template infra/template.yaml

check: ## formatting, lints as errors, the dependency rule
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked -p statuspulse --test architecture

fmt: ## format the code
	$(CARGO) fmt --all

docs-check: ## links, citations, commands, flags and numbers in the documents; part of make test
	$(CARGO) test --locked -p statuspulse --test docs

openapi: ## write docs/openapi.json anew from the types
	STATUSPULSE_WRITE_OPENAPI=1 $(CARGO) test --quiet -p statuspulse-http --test api the_committed_document

api-fuzz: venv ## thousands of calls of the running program, made from docs/openapi.json and held against it (SEED=7 makes others)
	$(CARGO) build --locked -p statuspulse
	target/venv-fuzz/bin/python local/tests/fuzz/fuzz.py target/debug/statuspulse $(SEED)

build: ## the release program: target/release/statuspulse
	$(CARGO) build --locked --release -p statuspulse

sim: ## the whole system under faults, 100,000 runs from a fresh random seed (RUNS=1000000 for more; SEED=7 shows one run)
	$(CARGO) run --locked --release --quiet -p statuspulse-sim -- $(if $(SEED),--seed $(SEED)) --runs $(or $(RUNS),$(if $(SEED),1,100000))

# What the tables of core and the simulation do not notice, the spec suite may. What none of them notices is in docs/mutants.md.
CARGO_MUTANTS := target/tools/bin/cargo-mutants
MUTANTS := CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 $(CARGO_MUTANTS) mutants --package statuspulse-core \
  --output target --jobs 2 --baseline skip --timeout 90 $(if $(SHARD),--shard $(SHARD))
mutants: ## change the rules line by line and see whether a test notices; an hour or two (SHARD=0/20 for a part)
	@test -x $(CARGO_MUTANTS) || $(CARGO) install --locked --quiet --root target/tools cargo-mutants@27.1.0
	rm -rf target/mutants.out
	$(MUTANTS) --test-package statuspulse-core,statuspulse-sim -C=--locked -C=--lib -C=--test=retry -C=--test=runs || [ $$? -le 3 ]
	$(MUTANTS) --iterate --test-package statuspulse,statuspulse-embedded -C=--locked -C=--test=spec -C=--test=conformance || [ $$? -le 3 ]
	@sed 's/^/not noticed: /' target/mutants.out/missed.txt

bench: build ## measure speed, memory and isolation on loopback (BENCH="--quick --scenario low")
	$(CARGO) run --locked --release -p statuspulse-bench -- --program target/release/statuspulse $(BENCH)

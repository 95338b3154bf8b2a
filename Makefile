# Without a target, `make` lists the targets.
.DEFAULT_GOAL := help
CARGO ?= cargo
# Without the paths of the machine, so that two builds of a commit have the same bytes.
RELEASE_FLAGS := --remap-path-prefix=$(CURDIR)=/statuspulse --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
RELEASE := RUSTFLAGS="$(RUSTFLAGS) $(RELEASE_FLAGS)" $(CARGO)
CARGO_CYCLONEDX := 0.5.9
CARGO_DEB := 3.8.0
CARGO_DENY := 0.20.2

.PHONY: help run test browser screenshots check fmt docs-check openapi api-fuzz fuzz hostile build reproducible supply-chain sbom deb sim mutants test-upgrade upgrade-files bench venv libraries clients generated-clients test-tools lint-infra preflight functions sam-build aws-local invoke bill coldstart
PYTHON ?= python3
VENV := target/venv

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 16

run: ## build and run the demo on loopback, then keep the server running, with a key and curl commands to copy
	$(CARGO) build --locked -p statuspulse
	target/debug/statuspulse demo --stay

test: venv libraries generated-clients lint-infra api-fuzz ## all tests, including those of the functions in an emulator of AWS
	$(VENV)/bin/python -m unittest discover --start-directory testing/emulator --pattern test_launch.py
	$(CARGO) test --locked --workspace
	$(MAKE) --no-print-directory browser

# Python environments for the emulator, the linters of the template, the fuzzer of the API, a library of docs/verify, the
# receivers of docs/receivers and the AWS command line, from lock files with hashes.
venv: $(VENV)/.installed
$(VENV)/.installed: testing/emulator/requirements.txt infra/requirements-lint.txt infra/requirements-review.txt infra/requirements-invoke.txt local/tests/fuzz/requirements.txt docs/verify/with-library/requirements.txt docs/receivers/requirements.txt functions/e2e/requirements.txt
	rm -rf $(VENV) target/venv-lint target/venv-review target/venv-fuzz target/venv-receivers target/venv-aws
	for folder in $(VENV) target/venv-lint target/venv-review target/venv-fuzz target/venv-receivers target/venv-aws; do $(PYTHON) -m venv $$folder || exit 1; done
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r testing/emulator/requirements.txt
	target/venv-lint/bin/pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements-lint.txt
	target/venv-review/bin/pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements-review.txt
	target/venv-fuzz/bin/pip install --quiet --disable-pip-version-check --require-hashes -r local/tests/fuzz/requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r infra/requirements-invoke.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r docs/verify/with-library/requirements.txt
	target/venv-receivers/bin/pip install --quiet --disable-pip-version-check --require-hashes -r docs/receivers/requirements.txt
	target/venv-aws/bin/pip install --quiet --disable-pip-version-check --require-hashes -r functions/e2e/requirements.txt
	touch $@

# The Node libraries that docs/verify and docs/receivers use, from their lock files. Without Node the tests print that
# they skip them.
WITH_LIBRARIES := docs/verify/with-library docs/receivers
libraries: $(if $(shell command -v npm 2>/dev/null),$(WITH_LIBRARIES:%=%/node_modules/.package-lock.json))
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

# Clients that generators make from docs/openapi.json, below target, with their types checked; and two linters of this
# document. What needs npm or Java is left out without it: the test prints which clients it skips.
CLIENTS := testing/clients
IN_CLIENTS = cd $(CLIENTS) && PATH=$$PWD/node_modules/.bin:$$PATH REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
LOGGED = >$(CURDIR)/$(@D)/log 2>&1 || { cat $(CURDIR)/$(@D)/log; exit 1; }
PYTHON_STORY = MYPYPATH=$(@D) target/venv-clients/bin/mypy --strict --follow-imports silent --no-error-summary --cache-dir target/clients/mypy $<
TYPESCRIPT_STORIES := target/clients/openapi-typescript/.checked target/clients/hey-api/.checked
GENERATED := target/clients/openapi-python-client/.checked \
  $(if $(shell command -v java 2>/dev/null),target/clients/openapi-generator/.checked) \
  $(if $(shell command -v npm 2>/dev/null),$(TYPESCRIPT_STORIES) target/clients/lint/.checked)

clients: generated-clients ## generate clients from docs/openapi.json with four generators, and run them; lint this document
	$(CARGO) test --locked -p statuspulse --test e2e clients::

generated-clients:
	@$(MAKE) --no-print-directory --jobs 2 $(GENERATED)
target/venv-clients/.installed: $(CLIENTS)/requirements.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	touch $@
target/clients/openapi-python-client/.checked: $(CLIENTS)/openapi_python_client.py $(CLIENTS)/setting.py docs/openapi.json target/venv-clients/.installed
	rm -rf $(@D) && mkdir -p $(@D)
	PATH=$(CURDIR)/target/venv-clients/bin:$$PATH openapi-python-client generate --fail-on-warning --path docs/openapi.json --meta none \
	  --output-path $(@D)/statuspulse_attrs $(LOGGED)
	$(PYTHON_STORY)
	touch $@
target/clients/openapi-generator/.checked: $(CLIENTS)/openapi_generator.py $(CLIENTS)/setting.py docs/openapi.json target/venv-clients/.installed
	rm -rf $(@D) && mkdir -p $(@D)
	target/venv-clients/bin/openapi-generator-cli generate --input-spec docs/openapi.json --generator-name python \
	  --package-name statuspulse_pydantic --output $(@D) --global-property \
	  apis,models,supportingFiles,apiDocs=false,modelDocs=false,apiTests=false,modelTests=false $(LOGGED)
	$(PYTHON_STORY)
	touch $@
$(TYPESCRIPT_STORIES) &: $(wildcard $(CLIENTS)/*.ts) $(CLIENTS)/tsconfig.json docs/openapi.json $(CLIENTS)/node_modules/.package-lock.json
	rm -rf target/clients/openapi-typescript target/clients/hey-api && mkdir -p target/clients
	echo '{"type": "module"}' >target/clients/package.json
	$(IN_CLIENTS) openapi-typescript ../../docs/openapi.json --output ../../target/clients/openapi-typescript/schema.ts
	$(IN_CLIENTS) openapi-ts --silent --input ../../docs/openapi.json --output ../../target/clients/hey-api --client @hey-api/client-fetch
	$(IN_CLIENTS) tsc
	touch $(TYPESCRIPT_STORIES)
target/clients/lint/.checked: $(CLIENTS)/spectral.yaml $(CLIENTS)/redocly.yaml docs/openapi.json $(CLIENTS)/node_modules/.package-lock.json
	mkdir -p $(@D)
	$(IN_CLIENTS) spectral lint --fail-severity hint --ruleset spectral.yaml ../../docs/openapi.json
	$(IN_CLIENTS) redocly lint --config redocly.yaml ../../docs/openapi.json $(LOGGED)
	touch $@

# Other tools that the tests need: each command with its Debian package.
TEST_TOOLS := node:nodejs npm:npm chromium:chromium go:golang-go ruby:ruby php:php-cli javac:default-jdk-headless openssl:openssl webhook:webhook prometheus-alertmanager:prometheus-alertmanager promtool:prometheus
MISSING = $(strip $(foreach tool,$(TEST_TOOLS),$(if $(shell command -v $(firstword $(subst :, ,$(tool))) 2>/dev/null),,$(lastword $(subst :, ,$(tool))))))

test-tools: ## install the languages of docs/verify, receivers and Chromium from Debian, or print the command if you are not root
	@if [ -z "$(MISSING)" ]; then echo "all languages of docs/verify, the receivers of docs/receivers and the browser are installed"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MISSING) >/dev/null; \
	else echo "some tools are missing, and the tests will print what they skip. On Debian: sudo apt-get install --no-install-recommends $(MISSING)"; fi

BROWSER_TESTS := shared/dashboard/e2e
browser: ## test the dashboard of the program in Chromium
	$(CARGO) build --locked -p statuspulse
	@if command -v npm >/dev/null && command -v $${STATUSPULSE_CHROMIUM:-chromium} >/dev/null; then \
	  cd $(BROWSER_TESTS) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund && npx --no-install playwright test; \
	else echo "the dashboard was NOT tested in a browser: npm or Chromium is not installed (make test-tools)"; fi

screenshots: ## draw every page in every size into target/screenshots, and the README's pictures
	$(CARGO) build --locked -p statuspulse
	cd $(BROWSER_TESTS) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund && node screenshots.mjs

functions: ## build the functions for Lambda, for cdk deploy and cargo lambda deploy (TARGET=--x86-64)
	$(CARGO) lambda build --locked --release $(or $(TARGET),--arm64) --package statuspulse-functions

BUILD_VENV := target/venv-build
sam-build: venv ## check that sam build makes the functions, with cargo-lambda from PyPI, for x86-64 (minutes)
	@test -e $(BUILD_VENV)/bin/cargo-lambda || { $(PYTHON) -m venv $(BUILD_VENV) && \
	  $(BUILD_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements-build.txt; }
	cd infra && PATH=$(CURDIR)/$(BUILD_VENV)/bin:$$PATH SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 \
	  ../target/venv-lint/bin/sam build --build-dir ../target/sam-build --parameter-overrides Architecture=x86_64
	cd target/sam-build && test $$(ls -d *Function | wc -l) -eq 6 && \
	  for function in *Function; do cmp $$function/bootstrap RegistrationFunction/bootstrap || exit 1; done

aws-local: venv ## run the functions as deployed, in an emulator of AWS (Ctrl-C stops it)
	$(CARGO) build --locked --package statuspulse-functions
	$(VENV)/bin/python infra/aws_local.py

invoke: venv ## invoke one function with its sample event, by cargo lambda invoke, in the emulator (FUNCTION=fanout)
	$(CARGO) build --locked --package statuspulse-functions
	$(VENV)/bin/python infra/aws_local.py --invoke $(FUNCTION)

bill: venv ## measure the AWS requests of a thousand deliveries, and what they cost
	$(CARGO) test --locked -p statuspulse-functions-e2e bill -- --nocapture

coldstart: venv ## measure start and invocations of each function as released, with a mock of Lambda
	$(RELEASE) build --locked --release --package statuspulse-functions
	$(VENV)/bin/python infra/coldstart.py target/release/functions

preflight: venv ## before a deployment: check the AWS account, read-only (ENV=prod)
	$(VENV)/bin/python infra/preflight.py $(or $(ENV),dev)

# The CDK app, from its lock file.
CDK := infra/cdk/node_modules/.package-lock.json
$(CDK): infra/cdk/package-lock.json
	cd infra/cdk && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

lint-infra: venv $(if $(shell command -v npm 2>/dev/null),$(CDK)) ## check the template: its tests, the CDK app, cfn-lint, cdk-nag, checkov
	cd infra && ../$(VENV)/bin/python -m unittest test_template test_live test_preflight
	@if [ -e $(CDK) ]; then cd infra && ../$(VENV)/bin/python -m unittest test_cdk test_review; \
	else echo "the CDK app was NOT tested, nor the template reviewed: npm is not installed (make test-tools)"; fi
	target/venv-lint/bin/cfn-lint infra/template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 target/venv-lint/bin/sam validate --lint --template infra/template.yaml

check: ## check formatting, lints (as errors) and dependencies between crates
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked -p statuspulse --test architecture

fmt: ## format the code
	$(CARGO) fmt --all

docs-check: ## check links, citations, commands, flags and numbers in the documents; part of make test
	$(CARGO) test --locked -p statuspulse --test docs

openapi: ## generate docs/openapi.json from the types
	STATUSPULSE_WRITE_OPENAPI=1 $(CARGO) test --quiet -p statuspulse-http --test api the_committed_document

api-fuzz: venv ## fuzz the running program with thousands of calls from docs/openapi.json (SEED=7 for other calls)
	$(CARGO) build --locked -p statuspulse
	target/venv-fuzz/bin/python local/tests/fuzz/fuzz.py target/debug/statuspulse $(SEED)

fuzz: ## 1,000,000 generated calls to the running program, and bad input for each parser (MINUTES=10, roughly; SEED=7)
	$(RELEASE) build --locked --release -p statuspulse -p statuspulse-fuzz
	target/release/statuspulse-fuzz --program target/release/statuspulse $(if $(SEED),--seed $(SEED))
	STATUSPULSE_FUZZ_TIMES=$$(( $(or $(MINUTES),1) * 10 )) $(CARGO) test --locked -p statuspulse-fuzz --test targets
	STATUSPULSE_FUZZ_TIMES=$$(( $(or $(MINUTES),1) * 10 )) $(CARGO) test --locked -p statuspulse --test spec almost_right

hostile: ## serve every misbehaviour of receivers on loopback, for any sender (HOSTILE="--port 7000 --ca ca.pem")
	$(CARGO) run --locked --quiet -p statuspulse-hostile -- $(HOSTILE)

deb: build ## make a Debian package below target/debian
	$(CARGO) install --quiet --locked --root target/tools --version $(CARGO_DEB) cargo-deb
	mkdir -p target/release/packaging
	target/release/statuspulse completions bash >target/release/packaging/statuspulse.bash
	target/release/statuspulse completions zsh >target/release/packaging/_statuspulse
	target/release/statuspulse completions fish >target/release/packaging/statuspulse.fish
	target/release/statuspulse man target/release/packaging/man
	target/tools/bin/cargo-deb --no-build --locked -p statuspulse

build: ## build the release program: target/release/statuspulse
	$(RELEASE) build --locked --release -p statuspulse

reproducible: ## build the release program twice, in two folders, and compare the bytes (ten minutes)
	packaging/reproducible.sh

supply-chain: ## licences, duplicates, sources and known vulnerabilities of what we depend on
	$(CARGO) install --quiet --locked --root target/tools --version $(CARGO_DENY) cargo-deny
	target/tools/bin/cargo-deny --locked check bans licenses sources
	packaging/audit.sh

sbom: ## what the program and the functions are made of: target/sbom/*.cdx.json (CycloneDX)
	$(CARGO) install --quiet --locked --root target/tools --version $(CARGO_CYCLONEDX) cargo-cyclonedx
	packaging/sbom.sh target/tools/bin/cargo-cyclonedx target/sbom

sim: ## simulate the whole system under random faults, 100,000 runs (RUNS=1000000 for more; SEED=7 shows one run)
	$(RELEASE) run --locked --release --quiet -p statuspulse-sim -- $(if $(SEED),--seed $(SEED)) --runs $(or $(RUNS),$(if $(SEED),1,100000))

UPGRADE := $(CARGO) test --locked -p statuspulse-core -p statuspulse-aws -p statuspulse-embedded \
  --lib --test upgrade --test embedded -- upgrade
test-upgrade: ## records and messages of the releases before, and of a later one
	$(UPGRADE)

upgrade-files: ## write the files of this release for test-upgrade
	mkdir -p testing/upgrade/$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
	STATUSPULSE_WRITE_UPGRADE_FILES=1 $(UPGRADE)

# Runs the unit tests of core and the simulation, then the spec suite for the mutants that these missed. The mutants that
# no test notices are in docs/mutants.md.
CARGO_MUTANTS := target/tools/bin/cargo-mutants
MUTANTS := CARGO_PROFILE_DEV_DEBUG=0 $(CARGO_MUTANTS) mutants --package statuspulse-core \
  --output target --jobs 2 --baseline skip --timeout 120 $(if $(SHARD),--shard $(SHARD))
mutants: ## mutation tests of the rules: does a test notice each change? An hour or two (SHARD=0/20 for a part)
	@test -x $(CARGO_MUTANTS) || $(CARGO) install --locked --quiet --root target/tools cargo-mutants@27.1.0
	rm -rf target/mutants.out
	CARGO_PROFILE_DEV_OPT_LEVEL=1 $(MUTANTS) --test-package statuspulse-core,statuspulse-sim -C=--locked -C=--lib -C=--test=retry -C=--test=runs || [ $$? -le 3 ]
	$(MUTANTS) --iterate --test-package statuspulse,statuspulse-http,statuspulse-embedded -C=--locked -C=--test=spec -C=--test=api -C=--test=conformance || [ $$? -le 3 ]
	@sed 's/^/not noticed: /' target/mutants.out/missed.txt

bench: build ## measure speed, memory and isolation on loopback (BENCH="--quick --scenario low")
	$(RELEASE) run --locked --release -p statuspulse-bench -- --program target/release/statuspulse $(BENCH)

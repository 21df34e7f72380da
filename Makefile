# Kasparro. `make` lists what there is. What needs more than a line is in crates/localpg.

TARGET  := $(or $(CARGO_TARGET_DIR),target)
LOCALPG := $(TARGET)/release/kasparro-localpg
COMPOSE := docker compose -f docker/compose.yaml

# The vendored OpenSSL is configured by perl; without these modules of it the programs are built without TLS to Postgres.
PERL_MODULES := -MIPC::Cmd -MFindBin -MFile::Compare -MFile::Copy -MTime::Piece
ifneq ($(shell perl $(PERL_MODULES) -e 'print 1' 2>/dev/null),1)
FEATURES := --no-default-features --features plain
endif
CARGO_FLAGS := --workspace --locked $(FEATURES)

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run demo etl api
run: build ## build, find or start Postgres, migrate, load once, serve on port 8000 (PORT=…)
	@$(LOCALPG) run

demo: build ## the same without a network: both APIs are played by a simulator
	@$(LOCALPG) demo

etl: build ## load once; while a demo runs, from its simulator (ARGS='--sources csv')
	@$(LOCALPG) etl -- $(ARGS)

api: build ## serve what is loaded on port 8000 (PORT=…)
	@$(LOCALPG) with -- $(TARGET)/release/kasparro-api $(ARGS)

.PHONY: db db-stop migrate
db: build ## start the private Postgres, leave it running and print its URL
	@$(LOCALPG) start

db-stop: $(LOCALPG) ## stop the private Postgres; its data stays
	@$(LOCALPG) stop

migrate: build ## create or upgrade the tables
	@$(LOCALPG) with -- $(TARGET)/release/kasparro-etl migrate

.PHONY: build test test-chaos test-pooled lint
build: ## compile the programs
ifdef FEATURES
	@echo "perl lacks modules that OpenSSL's build needs: building without TLS to Postgres"
endif
	@cargo build --release --bins $(CARGO_FLAGS)

# For what has to work with the programs as they are, also when the source at hand does not compile.
$(LOCALPG):
	@$(MAKE) --no-print-directory build

test: ## run every test on a private Postgres of its own (ARGS='name of a test')
	cargo test $(CARGO_FLAGS) --no-run
	$(TARGET)/debug/kasparro-localpg scratch -- cargo test $(CARGO_FLAGS) --no-fail-fast $(ARGS)

test-chaos: ## the long fault tests: killed at every statement, cut at every byte (at most 20 minutes; ARGS='name of a test')
	@.ci/fault-tools
	cargo test $(CARGO_FLAGS) --no-run
	$(TARGET)/debug/kasparro-localpg scratch -- env RUST_TEST_THREADS=5 timeout 1200 cargo test $(CARGO_FLAGS) --no-fail-fast --test etl -- --ignored $(ARGS)

test-pooled: ## the tests of the loader and the service, all of them through PgBouncer in transaction mode (ARGS='name of a test')
	@.ci/fault-tools
	cargo build --bins $(CARGO_FLAGS)
	$(TARGET)/debug/kasparro-localpg scratch -- $(TARGET)/debug/kasparro-pooled cargo test $(CARGO_FLAGS) --no-fail-fast --test etl --test api $(ARGS)

lint: ## formatting, clippy and rustdoc without a warning; hadolint and shellcheck if installed
	cargo fmt --all --check
	cargo clippy --all-targets $(CARGO_FLAGS) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps $(CARGO_FLAGS)
	@if command -v hadolint >/dev/null; then hadolint docker/Dockerfile; else echo 'skipped: hadolint is not installed'; fi
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run .ci/fault-tools docker/*.sh; else echo 'skipped: shellcheck is not installed'; fi

# schemathesis, pandas and a generator of clients, as pinned, in a folder of their own.
CONTRACT := crates/api/tests/contract
VENV     := .local/contract
DEBUG    := $(TARGET)/debug

.PHONY: test-contract test-clients debug
test-contract: $(VENV)/installed debug ## whatever is sent to the API, the answer is a documented one (ARGS='--cases 20 --seeds 1')
	@BIN=$(DEBUG) $(DEBUG)/kasparro-localpg scratch -- $(VENV)/bin/python $(CONTRACT)/test_contract.py $(ARGS)

test-clients: $(VENV)/installed debug ## a generated client and pandas read every route of the API
	@BIN=$(DEBUG) $(DEBUG)/kasparro-localpg scratch -- $(VENV)/bin/python $(CONTRACT)/test_clients.py

debug:
	@cargo build --bins $(CARGO_FLAGS)

$(VENV)/installed: $(CONTRACT)/requirements.txt
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: bench bench-etl bench-identity bench-api bench-history
bench: bench-etl bench-identity bench-api bench-history ## every benchmark: ratios of medians, both sides in one run (takes minutes)

bench-etl: build ## the loader beside psql (ARGS='--runs 1' for a quick look, '--growth' for 20 times the rows too)
	@$(TARGET)/release/kasparro-bench --part etl $(ARGS)

bench-identity: build ## which coins are one: precision and recall against recorded pairs, and times
	@$(TARGET)/release/kasparro-bench --part identity $(ARGS)

bench-api: build ## the service beside a fixed body, pgbench and COPY; needs wrk (ARGS='--runs 1 --seconds 1')
	@$(TARGET)/release/kasparro-bench --part api $(ARGS)

bench-history: build ## a day of one coin among 10,000,000 observations (takes 4 GB of disk)
	@$(TARGET)/release/kasparro-bench --part history $(ARGS)

.PHONY: up down logs
up: ## build and start everything in containers, loading hourly
	@docker/make-secrets.sh
	$(COMPOSE) up --detach --build
	@port=$$($(COMPOSE) port api 8000) && \
	echo "serving http://localhost:$${port##*:}/ (documentation: /docs); make logs, make down"

down: ## stop the containers; their data stays
	$(COMPOSE) down

logs: ## follow the logs of the containers
	$(COMPOSE) logs --follow --tail 100

.PHONY: clean
clean: $(if $(wildcard .local/postgres),$(LOCALPG)) ## remove what was built and the private Postgres with its data
	@if [ -d .local/postgres ]; then $(LOCALPG) remove; fi
	rm -rf .local
	cargo clean

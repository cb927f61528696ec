# The doors of this project. Every target makes its own set-up, so each works on a fresh clone.
# `make` alone lists them: a line is a target with a `##` comment.

.DEFAULT_GOAL := help
.PHONY: help run test lint format conformance release guard bench links soak profile interop fight sanitize chaos fuzz ledger
.PHONY: simulate clean

SWIFT ?= swift

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Set up, build and start Drawbridge on its embedded default (ARGS="..." adds arguments)
	@scripts/setup.sh run
	@$(SWIFT) build --product drawbridge
	@exec "$$($(SWIFT) build --show-bin-path)/drawbridge" run $(ARGS)

test: ## Set up, lint, build once, run every test: Swift, JavaScript, and the real programs of others
	@scripts/test.sh

lint: ## Check the format of all Swift code; changes nothing
	@$(SWIFT) format lint --strict --recursive Sources Tests

format: ## Format all Swift code in place
	@$(SWIFT) format --in-place --recursive Sources Tests

conformance: ## Write docs/conformance.md from the statement tags in sources and tests
	@DRAWBRIDGE_WRITE_CONFORMANCE=1 $(SWIFT) test --filter 'ConformanceTests/document'

release: ## Build the optimised binary and print its path
	@scripts/setup.sh run
	@scripts/release.sh drawbridge

guard: ## Count what the path of a message allocates; fails above the committed thresholds (ARGS=--write renews them)
	@scripts/setup.sh run
	@"$$(scripts/release.sh HotPathBenchmarks)" \
		Sources/HotPathBenchmarks/Thresholds/allocations.json $(ARGS)

SECS ?= 2
PASSES ?= 3
bench: ## Cost per message beside Debian's mosquitto; all of it writes docs/benchmarks.md (SECS=1 PASSES=1 ROWS='pair-*')
	@scripts/setup.sh test
	@scripts/bench.sh --seconds $(SECS) --passes $(PASSES) $(if $(ROWS),--rows "$(ROWS)") $(ARGS)

links: ## What a link costs beside local delivery and mosquitto's bridge, and how it drains; writes docs/benchmarks.md
	@scripts/setup.sh test
	@python3 scripts/bench/links.py --drawbridge "$$(scripts/release.sh drawbridge)" $(ARGS)

MINUTES ?= 10
soak: ## One load again and again for MINUTES=10: does a broker that runs for long become dearer or larger?
	@scripts/setup.sh test
	@python3 scripts/bench/soak.py --drawbridge "$$(scripts/release.sh drawbridge)" --minutes $(MINUTES) $(ARGS)

profile: ## Where the CPU time of a message goes, by perf; writes it into docs/benchmarks.md
	@scripts/setup.sh test
	@scripts/profile.sh $(ARGS)

interop: ## Only the tests with real programs, on a debug build (ARGS="-k story" picks some)
	@scripts/setup.sh test
	@$(SWIFT) build --product drawbridge
	@scripts/interop.sh $(ARGS)

# How large a fight is: as many clients with so few client ids, for so many seconds, at a broker of so many event loops
# (several, with spaces between them: one fight after the other).
CLIENTS ?= 10000
IDS ?= 100
SECONDS ?= 60
LOOPS ?= 4
fight_settings = DRAWBRIDGE_FIGHT_CLIENTS=$(CLIENTS) DRAWBRIDGE_FIGHT_IDS=$(IDS) \
	DRAWBRIDGE_FIGHT_SECONDS=$(SECONDS) DRAWBRIDGE_FIGHT_LOOPS="$(LOOPS)"
fight: ## CLIENTS=10000 with IDS=100 client ids throw one another out for SECONDS=60: are their sessions whole?
	@scripts/setup.sh run
	@$(SWIFT) build --build-tests
	@$(fight_settings) $(SWIFT) test --skip-build --filter TakeoverFightTests

# Each sanitizer needs its own build of everything, so this is no part of `make test`.
sanitize: ## Run the tests of spool, server and core, and a fight, under the thread and the address sanitizer
	@scripts/setup.sh run
	@$(fight_settings) scripts/sanitize.sh $(ARGS)

chaos: ## Crash tests: kill -9 and power cuts, then chains of brokers with broken lines (ARGS="chain --seconds 60")
	@scripts/setup.sh test
	@$(SWIFT) build --product drawbridge
	@scripts/chaos.sh $(ARGS)

fuzz: ## Mutated packets at the real server beside clients that behave, MINUTES=10 (ARGS="--seed 7 --rounds 50")
	@scripts/setup.sh test
	@$(SWIFT) build --product drawbridge
	@scripts/fuzz.sh --minutes $(MINUTES) $(ARGS)

ledger: ## A million messages through full queues with each policy: does every message end in a book? (ARGS="--seed 7")
	@scripts/setup.sh test
	@DRAWBRIDGE="$$(scripts/release.sh drawbridge)" \
		nice .build-venv/bin/python Tests/Interop/chaos/ledger.py $(ARGS)

SEEDS ?= 20000
FIRST ?= 1
simulate: ## Run whole sites from SEEDS=20000 seeds, from FIRST=1 on (release build; JOBS=n runs at a time)
	@scripts/setup.sh run
	@"$$(scripts/release.sh drawbridge)" simulate --first $(FIRST) --seeds $(SEEDS) \
		--jobs $(or $(JOBS),0) $(ARGS)

clean: ## Remove everything that was built, the Python tools included
	@rm -rf .build .build-venv .build-thread .build-address

# Two commands: `make run` and `make test`. The rest is for those who change Hawker.

.DEFAULT_GOAL := help
.PHONY: help run test schemathesis kill fuzz demo lint sqlx-data measure peers bench ci

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build Hawker and start it with a simulated show on air
	@scripts/ensure.sh run
	@cargo run --release --locked -p hawker -- run --show

test: ## get what the tests need, then run every test
	@scripts/ensure.sh test
	@scripts/test.sh

schemathesis: ## make requests up from the API's description and check every answer
	@scripts/ensure.sh test
	@scripts/schemathesis.sh

kill: ## kill Hawker's processes 50 times under load and check every acknowledgement
	@scripts/ensure.sh test
	@cargo build --quiet --locked --workspace
	@target/debug/loadtest chaos --kills 50

fuzz: ## fuzz frames, commands and the wire formats, a minute each (SECONDS=60)
	@scripts/ensure.sh test
	@scripts/fuzz.sh run $(or $(SECONDS),60)

demo: ## a whole show with 500 viewers for a minute, checked afterwards
	@scripts/ensure.sh run
	@cargo run --release --locked -p hawker -- demo --viewers 500 --seconds 60

lint: ## formatting, clippy, and the dependencies' licences
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@scripts/deny.sh

sqlx-data: ## write the checked queries' offline data anew
	@scripts/sqlx-data.sh

measure: ## measure the live engine, whole: about 25 minutes on an idle machine
	@benches/peers/run all --json target/figures.json

peers: ## fan-out and memory of Hawker beside Bun, nchan and a bare loop
	@benches/peers/run

bench: ## micro-benchmarks of the hot paths
	@cargo bench --locked -p benches

ci: ## all that decides whether a change lands
	@bash .ci/run

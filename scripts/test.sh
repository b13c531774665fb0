#!/usr/bin/env bash
# Every test there is: Rust, the pages' modules, and the pages in a real browser.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== Rust: units, properties, and both services over real sockets and a real Postgres"
# The whole workspace in one build: asking for single packages would build shared
# dependencies again with other features. More threads than cores: most tests wait, for a
# deadline, a lock or a database that is away.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} cargo test --workspace --locked

echo "== Pages: modules"
node --test web/tests/*.test.mjs

echo "== Pages: a viewer in Chromium"
(cd web/tests/browser && npm ci --no-audit --no-fund --silent && HAWKER_BIN="$PWD/../../../target/debug/hawker" npm test --silent)

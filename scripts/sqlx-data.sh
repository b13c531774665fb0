#!/usr/bin/env bash
# The checked queries' offline data in .sqlx, without which a build would need a
# database.
#
#   scripts/sqlx-data.sh          writes it anew
#   scripts/sqlx-data.sh --check  fails when what is committed is stale, and on any lint:
#                                 clippy expands the same macros, so one pass does both
#
# A private Postgres with the migrations applied is started for it and thrown away.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-}
case $mode in
    --check) pass=(clippy --workspace --all-targets --locked --quiet -- -D warnings) ;;
    *) pass=(check --workspace --all-targets --locked --quiet) ;;
esac
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

SQLX_OFFLINE=true cargo build --workspace --locked
# The macros run only where a crate is compiled, so compile those that have queries.
grep -rlE 'query(_as|_scalar)?!\(' --include='*.rs' shared core-api live-engine hawker loadtest \
    | sed -E 's#^((shared/testkit|[^/]+))/.*#\1#' | sort -u | while read -r crate; do
    find "$crate" -maxdepth 2 \( -path '*/src/lib.rs' -o -path '*/src/main.rs' \) -exec touch {} +
done
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" target/debug/with-database \
    cargo "${pass[@]}"

if [ "$mode" = --check ]; then
    if ! diff -rq "$fresh" .sqlx; then
        echo "The offline data in .sqlx is stale: run scripts/sqlx-data.sh and commit what it writes." >&2
        exit 1
    fi
    echo ".sqlx is up to date: $(find .sqlx -name '*.json' | wc -l) queries"
else
    mkdir -p .sqlx
    rm -f .sqlx/*.json
    cp "$fresh"/*.json .sqlx/
    echo "wrote $(find .sqlx -name '*.json' | wc -l) queries to .sqlx"
fi

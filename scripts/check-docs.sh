#!/usr/bin/env bash
# The documents agree with the program: every relative link leads somewhere, and the
# committed OpenAPI description is what the program prints and keeps the linter's rules.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
while IFS=: read -r file target; do
    path=${target%%#*}
    [ -z "$path" ] || [ -e "$(dirname "$file")/$path" ] || {
        echo "$file: the link to $target leads nowhere" >&2
        failed=1
    }
done < <(git ls-files '*.md' | xargs grep -oHP '\]\(\K(?!https?:|mailto:)[^)\s]+')

while read -r name; do
    git grep -qE "fn $name\\(|name: \"$name\"" -- '*.rs' || {
        echo "docs/guarantees.md: there is no test or invariant $name" >&2
        failed=1
    }
done < <(grep -oP '`\K[a-z0-9_]{12,}(?=`)' docs/guarantees.md | sort -u)

cargo build --quiet --locked --workspace
if ! diff <(target/debug/hawker openapi) docs/openapi.json >/dev/null; then
    echo "docs/openapi.json is stale: run target/debug/hawker openapi > docs/openapi.json" >&2
    failed=1
fi
(cd scripts/openapi-lint && npm ci --no-audit --no-fund --silent)
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true scripts/openapi-lint/node_modules/.bin/redocly lint \
    --config scripts/openapi-lint/redocly.yaml docs/openapi.json || failed=1
exit $failed

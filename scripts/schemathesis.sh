#!/usr/bin/env bash
# The running service against its own description: schemathesis makes requests up, as a
# buyer, a seller and an admin, alone and in sequences that follow the description's links.
# Fails on any 5xx, on any answer that the description does not declare (status, content
# type, headers, schema), and when an actor is answered with a 2xx by fewer than 95 % of the
# operations that the actor may call. The same requests each time: the seed is fixed.
#
#   scripts/schemathesis.sh [ACTOR]...
set -euo pipefail
cd "$(dirname "$0")/.."

actors=("$@")
[ $# -gt 0 ] || actors=(buyer seller admin)
here=core-api/tests/schemathesis
target=${CARGO_TARGET_DIR:-target}
python=$target/schemathesis-venv/bin/python
work=$(mktemp -d)

if ! cmp -s "$here/requirements.txt" "$target/schemathesis-venv/installed.txt"; then
    rm -rf "$target/schemathesis-venv"
    /usr/bin/python3 -m venv "$target/schemathesis-venv"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$target/schemathesis-venv/installed.txt"
fi

# The service, with a database of its own and limits that nobody reaches, and the world that
# makes people and rows in it. It ends when its standard input does.
program=${PROGRAM:-$(cargo test --quiet --locked ${PACKAGES:---workspace} --test it --no-run --message-format=json |
    /usr/bin/python3 -c 'import json, sys
built = (json.loads(line) for line in sys.stdin)
print(*{one["executable"] for one in built if one.get("executable") and one["target"]["name"] == "it" and "core-api" in one["package_id"]})')}
coproc SERVICE { exec "$program" --ignored --exact --nocapture \
    authorisation::serve::a_world_to_make_requests_up_in 2>"$work/service"; }
service=$SERVICE_PID
end() {
    eval "exec ${SERVICE[1]}>&-" 2>/dev/null || true
    wait "$service" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
until [[ ${line:-} == world\ * ]]; do
    read -r -t 300 line <&"${SERVICE[0]}" || {
        echo "the service did not start" >&2
        cat "$work/service" >&2
        exit 1
    }
done
read -r _ origin world <<<"$line"

started=$SECONDS
declare -A runs
for actor in "${actors[@]}"; do
    ACTOR=$actor WORLD=$world RESULTS=$work/$actor.json PYTHONPATH=$here PYTHONHASHSEED=0 \
        SCHEMATHESIS_HOOKS=hooks timeout 300 "$python" -m schemathesis.cli \
        --config-file "$here/schemathesis.toml" run "$origin/openapi.json" >"$work/$actor.log" 2>&1 &
    runs[$actor]=$!
done
failed=0
for actor in "${actors[@]}"; do
    wait "${runs[$actor]}" || {
        failed=1
        echo "== schemathesis as $actor" >&2
        cat "$work/$actor.log" >&2
    }
done
results=("${actors[@]/%/.json}")
"$python" "$here/reached.py" 0.95 "${results[@]/#/$work/}" || failed=1
echo "schemathesis: $((SECONDS - started)) s"
exit $failed

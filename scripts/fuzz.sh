#!/usr/bin/env bash
# Fuzzes what reads bytes from strangers, from the committed corpus.
#
#   scripts/fuzz.sh check            as CI does: so many runs of each target, the same each time
#   scripts/fuzz.sh run SECONDS      every target for so long
#   scripts/fuzz.sh run SECONDS NAME one of them
#
# What it finds is kept in target/fuzz/NAME; a failing input is target/fuzz/crash-NAME-…:
# copy it to fuzz/corpus/NAME when it is fixed, and the tests replay it from then on.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:?usage: scripts/fuzz.sh check|run SECONDS [NAME]}
targets=(${3:-reader frames command message})
declare -A runs=([reader]=20000 [frames]=30000 [command]=30000 [message]=20000)

# The whole workspace's features, so that its dependencies are not built a second time.
RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/rustc-covered" \
    cargo build --quiet --locked --workspace --features hawker-fuzz/libfuzzer \
    $(printf -- '--bin %s ' "${targets[@]}")
programs=${CARGO_TARGET_DIR:-target}/debug

mkdir -p target/fuzz
for target in "${targets[@]}"; do
    if [ "$purpose" = check ]; then
        found=$(mktemp -d)
        limit=(-runs="${runs[$target]}" -seed=1)
    else
        found=target/fuzz/$target
        mkdir -p "$found"
        limit=(-max_total_time="${2:?for how many seconds?}")
    fi
    echo "== $target"
    "$programs/$target" "${limit[@]}" -max_len=16400 -len_control=20 -timeout=20 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="target/fuzz/crash-$target-" \
        "$found" "fuzz/corpus/$target" > "target/fuzz/$target.log" 2>&1 || {
        tail -40 "target/fuzz/$target.log" >&2
        exit 1
    }
    grep -E 'DONE|Done|number_of_executed' "target/fuzz/$target.log"
    [ "$purpose" = run ] || rm -r "$found"
done

#!/usr/bin/env bash
# Run every fuzz target for N seconds: fuzz.sh SECONDS. Corpora grow in build/corpus; seeds in tests/fuzz/NAME.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
found=0
run_one() {
    local f=$1 name corpus
    name=$(basename "$f")
    corpus=build/corpus/$name
    mkdir -p "$corpus"
    local seeds=()
    [ -d "tests/fuzz/$name" ] && seeds=("tests/fuzz/$name")
    if ! "$f" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=3000 -print_final_stats=0 -verbosity=0 \
        -artifact_prefix="build/corpus/$name-" "$corpus" "${seeds[@]}" >"build/corpus/$name.log" 2>&1; then
        tail -40 "build/corpus/$name.log"
        echo "fuzz: $name FAILED"
        return 1
    fi
    echo "fuzz: $name ok (${seconds} s, $(ls "$corpus" | wc -l) inputs)"
}
mkdir -p build/corpus
export -f run_one
export seconds
targets=$(ls build/fuzz/fuzz/* | grep -v '\.')
for f in $targets; do found=$((found + 1)); done
[ "$found" -ge 8 ] || { echo "only $found fuzz targets were built"; exit 1; }
echo "$targets" | xargs -P "$(nproc)" -n 1 bash -c 'run_one "$1"' _

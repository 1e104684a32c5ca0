#!/usr/bin/env bash
# make test: every layer of tests; stops at the first layer that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
rm -rf build/test-results
step() {
    local t=$SECONDS
    echo "=== $*"
    "$@"
    echo "=== done: $* ($((SECONDS - t)) s)"
}
step make --no-print-directory unit
step make --no-print-directory lint
step make --no-print-directory e2e
step make --no-print-directory vectors
step make --no-print-directory random
step make --no-print-directory unit-clang
step make --no-print-directory unit-asan
step make --no-print-directory unit-tsan
step make --no-print-directory fuzz-smoke
# What docs/PARITY.md calls done has a test that ran just now.
step scripts/check-parity.py --ran build/test-results
echo "all layers passed in $((SECONDS - started)) s"

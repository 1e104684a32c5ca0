#!/usr/bin/env bash
# CHAOS_ROUNDS rounds of faults against three partitions; SEED repeats a run's choices.
set -euo pipefail
cd "$(dirname "$0")/.."
export KEYHOLD_BIN=$PWD/build/release/bin
build/venv/bin/python -c 'import sys; sys.path[:0] = ["tests", "tests/chaos"]; import verdicts; verdicts.build_checker()'
exec build/venv/bin/python tests/chaos/rounds.py --rounds "${CHAOS_ROUNDS:-1000}" ${SEED:+--seed "$SEED"} "$@"

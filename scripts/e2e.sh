#!/usr/bin/env bash
# End-to-end tests: real az, real SDKs, real processes.
set -euo pipefail
cd "$(dirname "$0")/.."
export KEYHOLD_BIN=$PWD/build/release/bin KEYHOLD_AZ=$PWD/build/venv-az/bin/az
exec build/venv/bin/python -m pytest -q --maxfail=25 --timeout=600 -p no:cacheprovider \
    --junit-xml=build/test-results/e2e.xml tests/e2e tests/chaos "$@"

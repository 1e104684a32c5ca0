#!/usr/bin/env bash
# Random requests and random sequences against running pools, with a fixed seed: property.sh [FILES AND OPTIONS OF PYTEST]
#   KEYHOLD_FUZZ_EXAMPLES, KEYHOLD_FUZZ_SEED   requests of each kind (tests/property/test_api_fuzz.py, test_raw_requests.py)
#   KEYHOLD_EXAMPLES, KEYHOLD_SEED             sequences (tests/property/test_sequences.py)
set -euo pipefail
cd "$(dirname "$0")/.."
export KEYHOLD_BIN=$PWD/build/release/bin
exec build/venv-property/bin/python -m pytest -q --maxfail=10 --timeout="${KEYHOLD_TEST_TIMEOUT:-600}" -p no:cacheprovider \
    --junit-xml=build/test-results/property.xml "${@:-tests/property}"

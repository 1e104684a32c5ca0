#!/bin/sh
# make bench: the table goes to build/bench/results.md and results.json
set -eu
cd "$(dirname "$0")/../.."
python3 -c 'import requests' 2>/dev/null || [ -x build/venv/bin/python ] || {
    python3 -m venv build/venv-bench && build/venv-bench/bin/pip install --quiet requests
}
for python in build/venv/bin/python build/venv-bench/bin/python python3; do
    "$python" -c 'import requests' 2>/dev/null && exec "$python" tests/bench/run.py "$@"
done

#!/bin/sh
# run.sh [SCRIPT]: run.py (make bench), profile_wrap.py or scale.py, with a Python that has requests
set -eu
cd "$(dirname "$0")/../.."
script=${1:-run.py}
[ $# -eq 0 ] || shift
python3 -c 'import requests' 2>/dev/null || [ -x build/venv/bin/python ] || {
    python3 -m venv build/venv-bench && build/venv-bench/bin/pip install --quiet requests
}
for python in build/venv/bin/python build/venv-bench/bin/python python3; do
    "$python" -c 'import requests' 2>/dev/null && exec "$python" "tests/bench/$script" "$@"
done

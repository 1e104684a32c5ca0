#!/usr/bin/env bash
# Python environments of the end-to-end tests: the newest Azure SDK packages, the newest Azure CLI, and the
# tools of the API and property tests, each in its own (their pins differ, and plug-ins of the last would
# load with every test). Made once; a changed list below adds what is missing; remove build/venv* for newer
# versions. `venv.sh sdk` makes only the first.
set -euo pipefail
cd "$(dirname "$0")/.."

# The marker holds what the environment was made for, so that a changed list is noticed.
make_one() {
    local dir=$1 wanted
    shift
    wanted="$(python3 --version) $*"
    [ "$(cat "$dir/.complete" 2>/dev/null)" = "$wanted" ] && return 0
    # An interpreter of another version, or none, is replaced; packages only come on top.
    [ "$("$dir/bin/python" --version 2>/dev/null)" = "$(python3 --version)" ] || rm -rf "$dir"
    [ -e "$dir/bin/pip" ] || python3 -m venv "$dir"
    rm -f "$dir/.complete"
    "$dir/bin/pip" install --quiet --disable-pip-version-check "$@"
    printf '%s\n' "$wanted" >"$dir/.complete"
}
make_one build/venv pytest pytest-timeout requests cryptography azure-identity azure-keyvault-keys \
    azure-keyvault-administration azure-keyvault-securitydomain \
    jsonschema pyyaml prometheus_client
[ "${1:-all}" = sdk ] && exit 0
# The packages of the JavaScript client: its part of the conformance scenario is an end-to-end test as well.
build/venv/bin/python tests/conformance/run.py --prepare javascript
make_one build/venv-property pytest pytest-timeout requests cryptography hypothesis jsonschema pyyaml schemathesis
make_one build/venv-az azure-cli
build/venv-az/bin/az version --output tsv --query '"azure-cli"' 2>/dev/null | sed 's/^/azure-cli /'

#!/usr/bin/env bash
# Python environments of the end-to-end tests: the newest Azure CLI and the newest Azure SDK packages,
# each in its own (their pins differ). Made once; remove build/venv* for newer ones.
set -euo pipefail
cd "$(dirname "$0")/.."
make_one() {
    local dir=$1
    shift
    [ -e "$dir/.complete" ] && return 0
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$dir/.complete"
}
make_one build/venv pytest pytest-timeout requests cryptography azure-identity azure-keyvault-keys \
    azure-keyvault-administration azure-keyvault-securitydomain
make_one build/venv-az azure-cli
build/venv-az/bin/az version --output tsv --query '"azure-cli"' 2>/dev/null | sed 's/^/azure-cli /'

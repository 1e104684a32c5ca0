#!/usr/bin/env bash
# make demo: a pool from nothing, used and protected: demo.sh BINDIR
set -euo pipefail
bin=$1
export KEYHOLD_HOME=${KEYHOLD_HOME:-${HOME}/.local/state/keyhold}
keyhold=$bin/keyhold
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ keyhold %s\n' "$*"; "$keyhold" "$@"; }

port=${PORT:-8443}
if ! "$keyhold" status >/dev/null 2>&1 && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "port $port is in use; run: make demo PORT=N" >&2
    exit 1
fi

say "1. Start a pool (first run: it is created)"
if "$keyhold" status >/dev/null 2>&1; then run status; else run up --port "$port" --partitions 3; fi

say "2. Activate it: three custodians, any two can rebuild it"
if "$keyhold" status -o json | grep -q '"state":"NotActivated"'; then run activate; else echo "already active"; fi

say "3. An administrator holds no key rights; one role on the keys gives them"
oid=$("$keyhold" env | sed -n "s/^export KEYHOLD_ADMIN_OID='\(.*\)'$/\1/p")
if ! "$keyhold" role assignment list -o json --scope /keys | grep -q "$oid"; then
    run role assignment create --role "Managed HSM Crypto User" --assignee "$oid" --scope /keys
fi

say "4. Keys that never leave the HSM"
run key create --name demo-rsa --kty RSA-HSM --size 2048
run key create --name demo-aes --kty oct-HSM --size 256

say "5. Wrap a service's data key, and unwrap it again"
dek=$(head -c 32 /dev/urandom | base64 -w0)
for pair in demo-rsa:RSA-OAEP-256 demo-aes:A256KW; do
    key=${pair%%:*} alg=${pair##*:}
    wrapped=$("$keyhold" key wrap --name "$key" --algorithm "$alg" --value "$dek")
    back=$("$keyhold" key unwrap --name "$key" --algorithm "$alg" --value "$wrapped")
    [ "$back" = "$dek" ] || { echo "unwrap gave another key" >&2; exit 1; }
    printf '%-9s %-13s data key -> %.40s... -> the same data key\n' "$key" "$alg" "$wrapped"
done

say "6. A caller without a role is refused"
eval "$("$keyhold" env | grep -E '^export KEYHOLD_GUEST_')"
if KEYHOLD_CLIENT_ID=$KEYHOLD_GUEST_CLIENT_ID KEYHOLD_CLIENT_SECRET=$KEYHOLD_GUEST_CLIENT_SECRET \
    "$keyhold" key unwrap --name demo-aes --algorithm A256KW --value "$wrapped"; then
    echo "the guest was not refused" >&2
    exit 1
fi

say "7. Three partitions are one pool: kill one, lose another one for good, and keep wrapping keys"
partitions() { "$keyhold" partition list -o json | tr '{' '\n'; }
until [ "$(partitions | grep -c '"number"')" -ge 3 ]; do run partition add; done
number_of() { sed -n 's/.*"number":\([0-9]*\).*/\1/p'; }
client() { # a failed call is tried once more; the count of calls goes to a file
    local n=0
    while [ ! -e "$work/stop" ]; do
        w() { "$keyhold" key wrap --name demo-aes --algorithm A256KW --value "$dek"; }
        w >/dev/null 2>>"$work/first" || w >/dev/null 2>>"$work/failed" || echo failed >>"$work/failed"
        n=$((n + 1))
        echo "$n" >"$work/count"
    done
}
work=$(mktemp -d)
client & client_pid=$!
trap 'touch "$work/stop"; wait "$client_pid" 2>/dev/null; rm -rf "$work"' EXIT
led=$(partitions | grep '"leads":true' | number_of)
pid=$(partitions | sed -n 's/.*"leads":true.*"boundary":\([0-9]*\).*/\1/p')
printf '$ kill -9 %s    # the boundary of partition %s, which leads\n' "$pid" "$led"
kill -9 "$pid"
settled() { [ "$("$keyhold" pool status -o json | grep -c '"operation":"none"')" = 1 ] && ! partitions | grep '"number"' | grep -qv '"state":"ready"'; }
wait_settled() { for _ in $(seq 600); do if settled; then return; fi; sleep 0.1; done; run pool status; exit 1; }
sleep 0.3
wait_settled
lost=$(partitions | grep '"leads":false' | head -n 1 | number_of)
pid=$(partitions | sed -n "s/.*\"number\":$lost,.*\"gateway\":\([0-9]*\).*/\1/p")
printf '$ rm -rf %s/partition-%s; kill -9 %s    # its disk and its process\n' "$KEYHOLD_HOME" "$lost" "$pid"
kill -STOP "$pid"
rm -rf "${KEYHOLD_HOME:?}/partition-$lost"
kill -9 "$pid"
for _ in $(seq 600); do if ! partitions | grep -q "\"number\":$lost,"; then break; fi; sleep 0.1; done
wait_settled
run pool status
touch "$work/stop"
wait "$client_pid"
[ ! -s "$work/failed" ] || { cat "$work/failed" >&2; echo "the client was refused" >&2; exit 1; }
echo "the client wrapped $(cat "$work/count") keys meanwhile; every call that failed went through at the second try"

say "8. All of it is in the audit log, chained and signed"
sleep 1.2
"$keyhold" audit tail -n 5
for n in $(partitions | number_of); do run audit verify --partition "$n"; done

say "Go on with the Azure CLI (pip install azure-cli):"
cat <<TEXT
  eval "\$($keyhold env)"
  az cloud register --name Keyhold --endpoint-resource-manager "\$KEYHOLD_ORIGIN"
  az cloud set --name Keyhold
  az login --service-principal -u "\$KEYHOLD_CLIENT_ID" -p "\$KEYHOLD_CLIENT_SECRET" -t "\$KEYHOLD_TENANT"
  az keyvault key list --hsm-name "\$KEYHOLD_POOL"
Stop with: $keyhold down
TEXT

#!/bin/sh
# Installs what the build, the tests and the benchmarks need on Debian 12 or 13.
#   install-packages.sh build|test|bench|conformance     (each of the others includes build)
# Does nothing when everything is there already. Needs root or sudo only when something is missing.
set -eu

# g++ brings the C++ library that clang's fuzzer runtime is linked with.
build="gcc g++ libc6-dev make cmake ninja-build pkg-config python3 libssl-dev libuv1-dev liblmdb-dev
 libraft-dev libseccomp-dev libcurl4-openssl-dev libcmocka-dev libtss2-dev libp11-kit-dev"
test_="$build git clang llvm clang-format clang-tidy cppcheck python3-venv python3-dev curl openssl procps gdb
 iproute2 mount util-linux swtpm softhsm2"
conformance="$build python3-venv openssl procps"
bench="$build nginx-light openssl curl procps util-linux python3-venv linux-perf etcd-server"

case "${1:-build}" in
build) wanted=$build ;;
test) wanted=$test_ ;;
bench) wanted=$bench ;;
conformance) wanted=$conformance ;;
*)
    echo "usage: $0 build|test|bench|conformance" >&2
    exit 2
    ;;
esac

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
case "$codename" in
bookworm) [ "${1:-build}" = test ] && wanted="$wanted libclang-rt-14-dev" ;;
trixie) [ "${1:-build}" = test ] && wanted="$wanted libclang-rt-19-dev" ;;
*) echo "warning: only Debian 12 and 13 are tested, this is '$codename'" >&2 ;;
esac

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
raft_ok() { dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null || echo 0)" ge 0.22; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root, and there is no sudo: $*" >&2
        exit 1
    fi
}

# The installer of Debian writes this file; a bare root has none, and then clients cannot find localhost.
if ! getent hosts localhost >/dev/null; then
    echo "adding localhost to /etc/hosts"
    printf '127.0.0.1 localhost\n::1 localhost\n' | as_root tee -a /etc/hosts >/dev/null
fi

# tool COMMAND OPTION MINIMUM PACKAGES...: Debian's packages, unless a new enough one is here by other means.
tool() {
    version=$("$1" "$2" 2>&1 | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1) || version=
    least=$3
    shift 3
    [ -n "$version" ] && dpkg --compare-versions "$version" ge "$least" || missing="$missing $*"
}

missing=
for p in $wanted; do installed "$p" || missing="$missing $p"; done
raft_ok || missing="$missing libraft-dev"
case "${1:-build}" in test | conformance)
    tool node --version 18 nodejs
    tool npm --version 8 npm
    # Debian 12: Go of its backports.
    go=golang-go
    [ "$codename" = bookworm ] && go=golang-1.23-go
    [ -x /usr/lib/go-1.23/bin/go ] || tool go version 1.23 "$go"
    ;;
esac
if [ "${1:-build}" = conformance ]; then
    # Rust: the newer one that the security updates bring for browsers.
    tool javac -version 17 default-jdk-headless
    tool mvn --version 3.6 maven
    command -v cargo >/dev/null || missing="$missing rustc-web cargo-web" # they would replace an older one
fi
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q

# libraft 0.22 is in Debian 13; Debian 12 has it in backports (its own 0.15 is unsafe), and Go 1.23 too. The
# mirror is the one that this machine uses already.
backports() {
    apt-cache policy | grep -q 'n=bookworm-backports' && return
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
    [ -n "$mirror" ] || { echo "no Debian mirror for bookworm found in apt's sources" >&2; exit 1; }
    echo "deb $mirror bookworm-backports main" |
        as_root tee /etc/apt/sources.list.d/keyhold-backports.list >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
}
target=
if [ "$codename" = bookworm ] && ! raft_ok; then
    backports
    target="libraft-dev/bookworm-backports libraft0/bookworm-backports"
    missing=$(echo "$missing" | sed 's/ libraft-dev//g')
fi
case "$codename:$missing" in bookworm:*golang-1.23-go*) backports ;; esac
# shellcheck disable=SC2086
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing $target

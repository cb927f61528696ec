#!/usr/bin/env bash
# Makes ready what this machine lacks, and nothing else: a second run touches neither the network nor root.
#
#   scripts/setup.sh run     what building and running Drawbridge needs
#   scripts/setup.sh test    that, and the programs of others that the tests speak to
#
# What cannot be had is said in one line that starts with "setup:", and the script ends with status 1.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
case "$purpose" in
    run | test) ;;
    *)
        echo "usage: scripts/setup.sh run|test" >&2
        exit 2
        ;;
esac

fail() {
    echo "setup: $*" >&2
    exit 1
}

# What is needed: Debian package, then what proves that it is here (a command, or a file with a slash in its name).
# Probing for the thing and not for the package accepts a node or a chromium that came from elsewhere.
needs_to_run=(
    "git git"
    "ca-certificates /etc/ssl/certs/ca-certificates.crt"
    "g++ g++"
    "libsqlite3-dev /usr/include/sqlite3.h"
    "zlib1g-dev /usr/include/zlib.h"
)
needs_to_test=(
    "gcc cc"
    "mosquitto mosquitto"
    "mosquitto-clients mosquitto_pub"
    "nats-server nats-server"
    "rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server"
    "ejabberd /usr/sbin/ejabberdctl"
    "chromium chromium"
    "chromium-driver chromedriver"
    "libnss3-tools certutil"
    "nodejs node"
    "libpaho-mqtt-dev /usr/include/MQTTClient.h"
    "node-mqtt /usr/share/nodejs/mqtt/package.json"
    "strace strace"
    "curl curl"
    "openssl openssl"
    "systemd systemd-analyze"
    "python3 python3"
    "python3-venv venv"
)

PATH=$PATH:/usr/sbin:/sbin # mosquitto lives there, and not everybody's PATH does

is_here() {
    case "$1" in
        venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

list_missing() {
    local need
    for need in "$@"; do
        is_here "${need#* }" || printf '%s\n' "${need% *}"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    local log status=0
    command -v apt-get >/dev/null 2>&1 || fail "missing: $*; this is not Debian, install their counterparts by hand"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
        fail "missing: $*; not root and no sudo here, run as root: apt-get install $*"
    fi
    echo "setup: installing $*"
    log=$(mktemp)
    # Package lists may be absent or stale, so they are fetched when the first try fails.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        status=0
        as_root apt-get update >"$log" 2>&1 || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1 ||
            status=$?
    fi
    if [ "$status" -ne 0 ]; then
        fail "apt-get cannot install $*: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
    fi
    rm -f "$log"
    # Debian starts brokers with their packages, mosquitto on port 1883; that port is ours, and the tests start their own.
    if [ -d /run/systemd/system ]; then
        local broker
        for broker in mosquitto nats-server rabbitmq-server ejabberd; do
            case " $* " in
                *" $broker "*) as_root systemctl disable --now --quiet "$broker" || true ;;
            esac
        done
    fi
}

# A selenium, paho and pytest of known versions, away from the system's Python.
make_venv() {
    local wanted venv=.build-venv requirements=Tests/Interop/requirements.txt log
    wanted=$(cksum <"$requirements")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/requirements.cksum" 2>/dev/null)" = "$wanted" ]; then return; fi
    echo "setup: making $venv from $requirements"
    log=$(mktemp)
    rm -rf "$venv"
    python3 -m venv "$venv" >"$log" 2>&1 || fail "python3 cannot make $venv: $(tail -n1 "$log")"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >"$log" 2>&1 ||
        fail "pip cannot install the packages of $requirements: $(grep -m1 '^ERROR' "$log" || tail -n1 "$log")"
    rm -f "$log"
    printf '%s\n' "$wanted" >"$venv/requirements.cksum"
}

needs=("${needs_to_run[@]}")
if [ "$purpose" = test ]; then needs+=("${needs_to_test[@]}"); fi
mapfile -t missing < <(list_missing "${needs[@]}")
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
    mapfile -t missing < <(list_missing "${needs[@]}")
    [ "${#missing[@]}" -eq 0 ] || fail "still missing after installation: ${missing[*]}"
fi

command -v swift >/dev/null 2>&1 || fail "no swift on PATH; install Swift 6.2 or later from https://www.swift.org/install"
if [ "$purpose" = test ]; then make_venv; fi

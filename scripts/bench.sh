#!/usr/bin/env bash
# Builds the release binary and compares it with Debian's mosquitto: scripts/bench.py explains what is measured.
# MQLOAD names the load generator: its binary, or its one C file, which is then compiled.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
mqload=${MQLOAD:-Benchmarks/mqload.c}
[ -e "$mqload" ] || { echo "bench: no load generator at $mqload; set MQLOAD to mqload or mqload.c" >&2; exit 1; }
"$swift" build -c release --product drawbridge
binary=$("$swift" build -c release --show-bin-path)
case "$mqload" in
    *.c)
        cc -O2 -std=c11 -pthread -o "$binary/mqload" "$mqload"
        mqload=$binary/mqload
        ;;
esac
exec python3 scripts/bench.py --mqload "$mqload" --drawbridge "$binary/drawbridge" "$@"

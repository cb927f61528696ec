#!/usr/bin/env bash
# Builds the release binary and looks with perf where its CPU time goes: scripts/bench/profile.py says how.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
"$swift" build -c release --product drawbridge
binary=$("$swift" build -c release --show-bin-path)
exec python3 scripts/bench/profile.py --drawbridge "$binary/drawbridge" "$@"

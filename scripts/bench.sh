#!/usr/bin/env bash
# Builds the release binary and measures it beside Debian's mosquitto: scripts/bench says what and how.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
"$swift" build -c release --product drawbridge
binary=$("$swift" build -c release --show-bin-path)
exec python3 scripts/bench --drawbridge "$binary/drawbridge" "$@"

#!/usr/bin/env bash
# Builds the release binary and measures it beside Debian's mosquitto: scripts/bench says what and how.
set -euo pipefail
cd "$(dirname "$0")/.."

exec python3 scripts/bench --drawbridge "$(scripts/release.sh drawbridge)" "$@"

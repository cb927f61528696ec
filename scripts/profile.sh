#!/usr/bin/env bash
# Builds the release binary and looks with perf where its CPU time goes: scripts/bench/profile.py says how.
set -euo pipefail
cd "$(dirname "$0")/.."

exec python3 scripts/bench/profile.py --drawbridge "$(scripts/release.sh drawbridge)" "$@"

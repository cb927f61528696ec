#!/usr/bin/env bash
# Crash tests with the real binary, kill -9 and power cuts: `make chaos`. Arguments go to the campaign, for example
# `--qos 2 --rounds 50 --seed 7`. DRAWBRIDGE=path picks another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

DRAWBRIDGE=${DRAWBRIDGE:-$("${SWIFT:-swift}" build --show-bin-path)/drawbridge}
export DRAWBRIDGE
if [ ! -x "$DRAWBRIDGE" ]; then
    echo "chaos: no binary at $DRAWBRIDGE; \`swift build\` makes it" >&2
    exit 1
fi
export POWERCUT_SHIM=$PWD/.build/powercut.so # made from powercut.c when that is newer
exec .build-venv/bin/python Tests/Interop/chaos/campaign.py "$@"

#!/usr/bin/env bash
# Mutated packets at the real server beside clients that behave: `make fuzz`. Arguments go to the campaign, for example
# `--minutes 60 --seed 7`. DRAWBRIDGE=path picks another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

DRAWBRIDGE=${DRAWBRIDGE:-$("${SWIFT:-swift}" build --show-bin-path)/drawbridge}
export DRAWBRIDGE
if [ ! -x "$DRAWBRIDGE" ]; then
    echo "fuzz: no binary at $DRAWBRIDGE; \`swift build\` makes it" >&2
    exit 1
fi
exec .build-venv/bin/python Tests/Interop/fuzz/campaign.py "$@"

#!/usr/bin/env bash
# Runs Tests/Interop against the debug binary that is already built; arguments go to pytest.
# DRAWBRIDGE=path picks another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

DRAWBRIDGE=${DRAWBRIDGE:-$("${SWIFT:-swift}" build --show-bin-path)/drawbridge}
export DRAWBRIDGE
if [ ! -x "$DRAWBRIDGE" ]; then
    echo "interop: no binary at $DRAWBRIDGE; \`swift build\` makes it" >&2
    exit 1
fi
exec .build-venv/bin/python -m pytest --rootdir Tests/Interop -c Tests/Interop/pytest.ini Tests/Interop "$@"

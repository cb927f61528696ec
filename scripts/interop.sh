#!/usr/bin/env bash
# Runs Tests/Interop against the debug binary that is already built; arguments go to pytest,
# for example `test_http.py` or `-k story`.
# DRAWBRIDGE=path picks another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

DRAWBRIDGE=${DRAWBRIDGE:-$("${SWIFT:-swift}" build --show-bin-path)/drawbridge}
export DRAWBRIDGE
export POWERCUT_SHIM=${POWERCUT_SHIM:-$PWD/.build/powercut.so} # made by the first test that needs it
if [ ! -x "$DRAWBRIDGE" ]; then
    echo "interop: no binary at $DRAWBRIDGE; \`swift build\` makes it" >&2
    exit 1
fi
python=$PWD/.build-venv/bin/python
cd Tests/Interop
exec "$python" -m pytest "$@"

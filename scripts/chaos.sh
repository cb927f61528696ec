#!/usr/bin/env bash
# Crash tests with the real binary: `make chaos`. Campaigns: `node` (kill -9 and power cuts of one broker), `chain`, `ring`,
# `mesh` and `mixed` (kill -9 and broken lines between several). Without arguments all run as long as they run by default;
# otherwise the first names one, or none for `node`, and the others go to it: `--qos 2 --rounds 50 --seed 7`,
# `chain --shape five --seconds 60`, `mesh --seconds 60`. DRAWBRIDGE=path picks another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

DRAWBRIDGE=${DRAWBRIDGE:-$("${SWIFT:-swift}" build --show-bin-path)/drawbridge}
export DRAWBRIDGE
if [ ! -x "$DRAWBRIDGE" ]; then
    echo "chaos: no binary at $DRAWBRIDGE; \`swift build\` makes it" >&2
    exit 1
fi
export POWERCUT_SHIM=$PWD/.build/powercut.so # made from powercut.c when that is newer
python=.build-venv/bin/python
if [ "$#" -eq 0 ]; then
    $python Tests/Interop/chaos/campaign.py
    $python Tests/Interop/chaos/chain.py
    exec $python Tests/Interop/chaos/rings.py
fi
case "$1" in
    chain) shift && exec $python Tests/Interop/chaos/chain.py "$@" ;;
    ring | mesh | mixed) exec $python Tests/Interop/chaos/rings.py --shape "$@" ;;
    node) shift ;;
esac
exec $python Tests/Interop/chaos/campaign.py "$@"

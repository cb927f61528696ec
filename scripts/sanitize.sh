#!/usr/bin/env bash
# The tests of spool, server and core under the sanitizers, each with a build of its own, and a whole fight for client ids
# among them.
#
#   scripts/sanitize.sh [thread] [address]    both when none is named
#
# FILTER=pattern picks other tests; how large the fight is, `make sanitize` says (short otherwise).
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
filter=${FILTER:-SpoolTests|BrokerServerTests|BrokerCoreTests}
if [ $# -eq 0 ]; then set -- thread address; fi

for kind in "$@"; do
    build=.build-$kind
    "$swift" build --build-tests --sanitize="$kind" --scratch-path "$build"
    preload=
    if [ "$kind" = thread ]; then
        # Without it, whatever waits for a lock of the Swift library is a race to the sanitizer.
        preload=$PWD/$build/locks.so
        clang=$(dirname "$(readlink -f "$(command -v "$swift")")")/clang
        "$clang" -O1 -g -shared -fPIC -Wall -Werror -o "$preload" scripts/thread-sanitizer-locks.c
    fi
    echo "==> $kind sanitizer"
    # Tests drop whole nodes and clients, whose parts know one another, and a library leaks a little with each reading of
    # a configuration: what grows in a node that runs is the business of `make soak`. No test is one of XCTest.
    ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$preload "$swift" test --skip-build --disable-xctest --no-parallel \
        --sanitize="$kind" --scratch-path "$build" --filter "$filter"
done

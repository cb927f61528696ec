#!/usr/bin/env bash
# All tests in one go: `make test`. One debug build serves the Swift tests and the tests with real programs.
# Each stage says when it starts and how long it took; the first that fails ends the run and is named last.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
export PATH=$PATH:/usr/sbin:/sbin # mosquitto lives there, and not everybody's PATH does
began=$SECONDS

elapsed() {
    printf '%02d:%02d' $((($1) / 60)) $((($1) % 60))
}

stage() {
    local name=$1 start=$SECONDS status=0
    shift
    echo "==> [$(elapsed $((SECONDS - began)))] $name"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        echo "==> [$(elapsed $((SECONDS - began)))] FAILED in $name after $(elapsed $((SECONDS - start)))" >&2
        exit "$status"
    fi
    echo "==> [$(elapsed $((SECONDS - began)))] $name: ok, took $(elapsed $((SECONDS - start)))"
}

lint() {
    local script
    "$swift" format lint --strict --recursive Sources Tests
    for script in scripts/*.sh .ci/run; do bash -n "$script"; done
    python3 -c 'import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]' scripts/bench/*.py
}

javascript() {
    local -a files
    mapfile -t files < <(find web -name '*.test.js' -o -name '*.test.mjs' 2>/dev/null | sort)
    if [ "${#files[@]}" -eq 0 ]; then
        echo "no JavaScript tests in web/"
        return
    fi
    # Node 18 has the runner but finds no `.test.js` by itself in a folder that it is given, so files are named.
    NODE_PATH=/usr/share/nodejs node --test --test-reporter=spec "${files[@]}"
}

# Names what failed once more at the end, where somebody who sees only the last lines of a log finds it.
swift_tests() {
    local log status=0
    log=$(mktemp)
    "$swift" test --skip-build --no-parallel 2>&1 | tee "$log" || status=$?
    [ "$status" -eq 0 ] || grep -a -E '^✘ |^error: |Fatal error' "$log" | tail -n 60 || true
    rm -f "$log"
    return "$status"
}

stage "set-up" scripts/setup.sh test
stage "lint" lint
stage "build" "$swift" build --build-tests
stage "Swift tests" swift_tests
stage "JavaScript tests" javascript
stage "tests with real programs" scripts/interop.sh
echo "==> [$(elapsed $((SECONDS - began)))] all tests passed"

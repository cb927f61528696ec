#!/usr/bin/env bash
# Builds a product for release and prints where it is: `scripts/release.sh drawbridge`.
# The Swift libraries go into the program, so that it is one file that runs without Swift. The other flag is for the
# packages that we use, as Package.swift has it for our own targets: their checks of exclusive access at run time are up
# to 6 % of what a message costs.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(-c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked)
"${SWIFT:-swift}" build "${flags[@]}" --product "$1" >&2
echo "$("${SWIFT:-swift}" build "${flags[@]}" --show-bin-path)/$1"

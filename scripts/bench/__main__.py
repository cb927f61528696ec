#!/usr/bin/env python3
"""Cost of Drawbridge beside Debian's mosquitto: CPU microseconds of the broker per delivered message.

Each row runs against both brokers in turn, each started afresh, `--passes` times; the figures are medians. What is
compared is CPU time and not a rate: on a shared machine the rate says more about the neighbours than about the broker.
The load generator is `drawbridge bench`, which checks every message: a run that loses, doubles or reorders one fails.

Without `--rows` everything is measured, and docs/benchmarks.md and its picture are written.
"""

import argparse
import fnmatch
import statistics
import sys
import time

import crowd
import document
import idle
from brokers import Broker, Programs
from rows import ROWS, Faulty, run


def main() -> int:
    options = parse()
    began = time.monotonic()
    programs = Programs(options.drawbridge)
    try:
        results = measure(options, programs)
        if options.write:
            document.write(results, programs, f"make bench SECS={options.seconds:g} PASSES={options.passes}")
    finally:
        programs.close()
    say(f"took {time.monotonic() - began:.0f} s")
    missed = [row["key"] for row in results["rows"] if not row["holds"]]
    if missed:
        say("above their bar: " + " ".join(missed))
    return 1 if results["faults"] or (missed and options.strict) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawbridge", required=True, help="path of the release binary")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="measured time of each run, behind 1 s of warm-up")
    parser.add_argument("--rows", help=f"some of {', '.join(keys())}; * stands for anything, commas between")
    parser.add_argument("--write", action="store_true", help="write the document although not all rows were measured")
    parser.add_argument("--strict", action="store_true", help="fail when a row is above its bar")
    options = parser.parse_args()
    if options.rows and not any(fnmatch.filter(keys(), pattern.strip()) for pattern in options.rows.split(",")):
        parser.error(f"no row is called {options.rows}; there are {' '.join(keys())}")
    options.write = options.write or not options.rows
    return options


def keys() -> list[str]:
    """Of the rows, and of what is not measured by one run."""
    return [row.key for row in ROWS] + ["start"] + [f"idle-{transport}" for transport in idle.BARS] + ["crowd"]


def measure(options: argparse.Namespace, programs: Programs) -> dict:
    patterns = (options.rows or "*").split(",")
    results = {"rows": [], "idle": [], "crowd": [], "start": {}, "faults": []}

    def is_wanted(key: str) -> bool:
        return any(fnmatch.fnmatchcase(key, pattern.strip()) for pattern in patterns)

    def attempt(work):
        try:
            return work()
        except Faulty as fault:
            say(f"FAULTY: {fault}")
            results["faults"].append(str(fault))
            return None

    for row in ROWS:
        if is_wanted(row.key):
            measured = attempt(lambda: compare(row, programs, options))
            if measured:
                results["rows"].append(measured)
    if is_wanted("start"):
        for name in Broker.NAMES:
            results["start"][name] = idle.start_up(name, programs)
            memory = results["start"][name]
            say(f"{'start':<14} {name:<11} {memory['VmRSS'] / 1e6:.1f} MB, {memory['RssAnon'] / 1e6:.1f} MB anonymous")
    for transport in idle.BARS:
        for name in Broker.NAMES if is_wanted(f"idle-{transport}") else ():
            found = attempt(lambda: idle.measure(name, transport, programs))
            if found:
                results["idle"].append(found)
                each = ", ".join(f"{found.each(count):,.0f} at {count:,}" for count in found.resident)
                say(f"{'idle-' + transport:<14} {name:<11} bytes each: {each}; the slope {found.slope:,.0f}")
    for name in Broker.NAMES if is_wanted("crowd") else ():
        for found in attempt(lambda: crowd.measure(name, programs)) or ():
            results["crowd"].append(found)
            say(f"{'crowd':<14} {name:<11} {found.topics}: {found.ratio:.2f} times as much as alone")
    return results


def compare(row, programs: Programs, options: argparse.Namespace) -> dict:
    """Both brokers in turn, pass after pass."""
    figures = {name: [] for name in Broker.NAMES}
    rates = {name: [] for name in Broker.NAMES}
    for _ in range(options.passes):
        for name in Broker.NAMES:
            with Broker(name, programs) as broker:
                result = run(row, broker, programs, options.seconds)
            figures[name].append(result.figure)
            rates[name].append(result.rate)
    figure = {name: statistics.median(values) for name, values in figures.items()}
    holds = row.allows(figure["mosquitto"], figure["drawbridge"])
    ratio = figure["drawbridge"] / figure["mosquitto"]
    say(
        f"{row.key:<14} {row.name:<28} {figure['mosquitto']:>9.2f} {figure['drawbridge']:>9.2f}  "
        f"{ratio:.3f} {document.share(ratio):<6} {'' if holds else 'ABOVE ' + document.bar(row)}"
    )
    return {
        "key": row.key,
        "name": row.name,
        "row": row,
        "figure": figure,
        "spread": {name: (min(values), max(values)) for name, values in figures.items()},
        "rate": {name: statistics.median(values) for name, values in rates.items()},
        "ratio": ratio,
        "holds": holds,
    }


def say(line: str):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

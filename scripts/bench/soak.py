#!/usr/bin/env python3
"""Does a broker that runs for long become dearer or larger?

Three nodes run from the first minute to the last: one with clients over TCP, WebSocket and TLS, and an edge whose link
carries everything to its upstream. Each round puts the same load on them, with clients and topics that are new to them
and end with it: what a message costs then, and the memory that stays, must be what they were. The third quarter of the
rounds is compared with the last one, by their medians. The first half warms up: an upstream remembers what came over links
for five minutes, so ten minutes are the least that says something of its memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

from brokers import Broker, Programs
from links import Node, greet
from rows import SOURCES

#: CPU µs, or anonymous bytes, of the last quarter over those of the third.
COST_BAR, MEMORY_BAR = 1.15, 1.05
#: What the allocator keeps, or not, is no growth.
MEMORY_SLACK = 1_000_000

STORED = "-V 5 -C false -x 1"
#: Of `drawbridge bench`, over which transport ("link": at the edge), and which figure counts.
PHASES = {
    "QoS 0, WebSocket": ("pair -c 50 -q 0 --rate 10000", "ws", "cpu_seconds_per_million"),
    "QoS 1, TLS": ("pair -c 50 -q 1 --rate 10000", "tls", "cpu_seconds_per_million"),
    "QoS 1, stored": (f"pair -c 20 -q 1 --rate 4000 {STORED}", "tcp", "cpu_seconds_per_million"),
    "QoS 2, stored": (f"pair -c 20 -q 2 --rate 4000 {STORED}", "tcp", "cpu_seconds_per_million"),
    "QoS 1, link": (f"pair -c 20 -q 1 --rate 4000 {STORED}", "link", "cpu_seconds_per_million"),
    "QoS 2, link": (f"pair -c 20 -q 2 --rate 2000 {STORED}", "link", "cpu_seconds_per_million"),
    "connect": (f"conn -c 20 --churn --ifaddr {SOURCES}", "tcp", "cpu_micros_per_connect"),
    "connect, TLS": ("conn -c 5 --churn", "tls", "cpu_micros_per_connect"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawbridge", required=True, help="path of the release binary")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=3, help="of each kind of load in a round")
    options = parser.parse_args()
    programs = Programs(options.drawbridge)
    hub = Node("drawbridge", "hub", programs)
    edge = Node("drawbridge", "edge", programs, upstream=hub.port)
    try:
        with Broker("drawbridge", programs) as broker:
            hub.start()
            edge.start()
            greet(edge.port, hub.port)
            rounds = run(broker, edge, hub, programs, options)
    finally:
        edge.end()
        hub.end()
        programs.close()
    return judge(rounds)


def run(broker: Broker, edge: Node, hub: Node, programs, options) -> list[dict[str, float]]:
    """Of each round what every load cost, and the memory behind it."""
    processes = {"node": broker.pid, "edge": edge.process.pid, "upstream": hub.process.pid}
    end = time.monotonic() + options.minutes * 60
    rounds = []
    while time.monotonic() < end or len(rounds) < 8:
        found = {}
        for name, (arguments, transport, figure) in PHASES.items():
            if transport == "link":
                flags = ["-h", "127.0.0.1", "-p", str(edge.port), "--pid", str(edge.process.pid)]
                flags += ["--pid", str(hub.process.pid)]
            else:
                flags = [*broker.client_flags(transport), "--pid", str(broker.pid)]
            command = [programs.drawbridge, "bench", *arguments.split(), *flags, "--duration", str(options.seconds)]
            bench = subprocess.run([*command, "--json", "--quiet"], capture_output=True, text=True)
            if bench.returncode != 0:
                sys.exit(f"soak: {' '.join(command)} ends with {bench.returncode}: {bench.stdout} {bench.stderr}")
            found[name] = json.loads(bench.stdout)["broker"][figure]
        # Until the sessions are gone.
        time.sleep(3)
        found |= {f"MB {name}": anonymous(process) / 1e6 for name, process in processes.items()}
        rounds.append(found)
        print(f"{len(rounds):>4}  " + "  ".join(f"{name} {value:.1f}" for name, value in found.items()), flush=True)
    return rounds


def anonymous(process: int) -> int:
    """Bytes of memory that are the process's own."""
    with open(f"/proc/{process}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def judge(rounds: list[dict[str, float]]) -> int:
    quarter = len(rounds) // 4
    parts = (rounds[-2 * quarter : -quarter], rounds[-quarter:])
    grown = []
    print(f"{'':<18} {'then':>8} {'at last':>8}   of {len(rounds)} rounds")
    for name in rounds[0]:
        then, last = (statistics.median(each[name] for each in part) for part in parts)
        if name.startswith("MB"):
            is_grown = last > then * MEMORY_BAR and last > then + MEMORY_SLACK / 1e6
        else:
            is_grown = last > then * COST_BAR
        if is_grown:
            grown.append(name)
        print(f"{name:<18} {then:>8.1f} {last:>8.1f}{'   GROWS' if is_grown else ''}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""What a link costs and how fast it drains: Drawbridge to Drawbridge, beside local delivery and mosquitto's bridge.

Cost: messages of so many bytes are published to an edge and heard at its upstream, with so many under way from end to
end; CPU microseconds of both brokers for each message that was heard. Beside it the same messages delivered by one
Drawbridge to a durable subscriber of its own, and mosquitto to mosquitto. All in turns, `--passes` times; medians.

Drain: messages wait in the spool of an edge whose line is down. The line returns; how many a second arrive, how late are
those that are published meanwhile to another topic, and what memory does the edge take?

All of it (no `--rows`) writes the section of docs/benchmarks.md.
"""

import argparse
import json
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import document
from brokers import Programs, answers, free_ports, raise_file_limit
from traffic import PAYLOAD, Publishers, Subscriber

BEGIN = "<!-- written by make links: begin -->"
END = "<!-- written by make links: end -->"
COST_BAR, MOSQUITTO_BAR, DRAIN_BAR, LATE_BAR = 1.5, 1 / 3, 50_000, 1.0

DRAWBRIDGE = """
[node]
id = "{name}"
data_dir = "{folder}/data"
[log]
level = "warning"
[limits]
inflight = 65535
receive_maximum = 65535
max_awaiting_rel = 65535
[queue]
max_messages = 100000000
max_bytes = "64GB"
[[listener]]
name = "mqtt"
type = "mqtt"
bind = ["127.0.0.1:{port}"]
"""

LINK = """
[[link]]
name = "hub"
addresses = ["mqtt://127.0.0.1:{upstream}"]
{inflight}
username = "link"
password = "secret"
backoff = {{ base = "2s", cap = "2s" }}
{more}
[[link.out]]
filter = "#"
"""

#: Whose marks the upstream believes: with them what crosses is exactly once, whatever happens.
USERS = """
[auth]
links = ["link"]
anonymous = true
[auth.users]
file = "{folder}/users"
"""

MOSQUITTO = """
user root
persistence false
log_dest none
sys_interval 0
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
listener {port} 127.0.0.1
allow_anonymous true
"""

BRIDGE = """
connection hub
address 127.0.0.1:{upstream}
bridge_protocol_version mqttv311
cleansession false
notifications false
topic # out 2
"""


class Node:
    """One broker of a kind, in a folder of its own."""

    def __init__(self, kind: str, name: str, programs, *, upstream: int = 0, more: str = "", inflight: int = 0):
        self.kind, self.name, self.programs = kind, name, programs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-links-"))
        (self.port,) = free_ports(1)
        if kind == "drawbridge":
            text = DRAWBRIDGE + (LINK if upstream else USERS if name == "hub" else "")
        else:
            text = MOSQUITTO + (BRIDGE if upstream else "")
        self.file = self.folder / "broker.conf"
        self.file.write_text(
            text.format(
                name=name, folder=self.folder, port=self.port, upstream=upstream, more=more,
                inflight=f"max_inflight = {inflight}" if inflight else "",
            )
        )
        if name == "hub" and kind == "drawbridge":
            command = [programs.drawbridge, "passwd", str(self.folder / "users"), "link"]
            subprocess.run(command, input="secret\n", text=True, check=True, capture_output=True)
        self.process = None

    def start(self):
        self.log = open(self.folder / "log", "ab")
        binary = self.programs.drawbridge if self.kind == "drawbridge" else self.programs.mosquitto
        command = [binary, *(["run", "--config"] if self.kind == "drawbridge" else ["-c"]), str(self.file)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=raise_file_limit)
        deadline = time.monotonic() + 30
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"links: {self.name} did not start: {(self.folder / 'log').read_text()[-800:]}")
            time.sleep(0.01)
        return self

    def end(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu_seconds(self) -> float:
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def resident(self) -> float:
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmRSS"].split()[0]) / 1024

    def link(self) -> dict:
        """What `drawbridge ctl link status` says of the link."""
        command = [self.programs.drawbridge, "ctl", "--config", str(self.file), "link", "status", "hub", "--json"]
        run = subprocess.run(command, capture_output=True, text=True)
        return json.loads(run.stdout) if run.returncode == 0 else {"error": run.stderr}


# What a link costs


def cost(kind: str, qos: int, programs, options) -> dict[str, float]:
    """CPU µs a message at the edge and at the upstream; `local` has no upstream."""
    nodes, ends = {}, []
    try:
        if kind == "local":
            edge = hub = Node("drawbridge", "edge", programs).start()
            nodes = {"edge": edge}
        else:
            hub = Node(kind, "hub", programs).start()
            nodes = {"hub": hub}
            edge = Node(kind, "edge", programs, upstream=hub.port).start()
            nodes["edge"] = edge
        subscriber = Subscriber(hub.port, "load/#", qos, clean=kind != "local")
        ends.append(subscriber)
        if not subscriber.ready.wait(20):
            raise RuntimeError("no SUBACK")
        if kind != "local":
            greet(edge.port, hub.port)
        topics = [f"load/{number:02}" for number in range(options.publishers)]
        publishers = Publishers(edge.port, topics, qos, window=options.window, heard=subscriber.heard)
        ends.append(publishers)
        time.sleep(1)
        before = (subscriber.heard.value, {name: node.cpu_seconds() for name, node in nodes.items()})
        time.sleep(options.seconds)
        after = (subscriber.heard.value, {name: node.cpu_seconds() for name, node in nodes.items()})
        heard = after[0] - before[0]
        if heard < 100 or subscriber.faults.value:
            raise RuntimeError(f"{kind} QoS {qos}: {heard} heard, {subscriber.faults.value} out of order")
        found = {name: (after[1][name] - before[1][name]) * 1e6 / heard for name in nodes}
        found["rate"] = heard / options.seconds
        return found
    finally:
        for end in reversed(ends):
            end.end()
        for node in reversed(nodes.values()):
            node.end()


def greet(edge: int, hub: int):
    """Waits until something crosses."""
    subscriber = Subscriber(hub, "greet", 0, client_id="greets")
    subscriber.ready.wait(10)
    publisher = Publishers(edge, ["greet"], 0, rate=20)
    deadline = time.monotonic() + 20
    while not subscriber.heard.value:
        if time.monotonic() > deadline:
            sys.exit("links: nothing crosses")
        time.sleep(0.02)
    publisher.end()
    subscriber.end()


def costs(programs, options) -> list[dict]:
    rows = []
    for qos in (0, 1, 2):
        found = {kind: [] for kind in ("local", "drawbridge", "mosquitto")}
        for _ in range(options.passes):
            for kind, results in found.items():
                results.append(cost(kind, qos, programs, options))
        median = {
            kind: {key: statistics.median(result[key] for result in results) for key in results[0]}
            for kind, results in found.items()
        }
        ours, theirs, local = median["drawbridge"], median["mosquitto"], median["local"]["edge"]
        row = {
            "qos": qos,
            "local": local,
            "ours": (ours["edge"], ours["hub"]),
            "theirs": (theirs["edge"], theirs["hub"]),
            "rates": (median["local"]["rate"], ours["rate"], theirs["rate"]),
        }
        rows.append(row)
        say(
            f"cost QoS {qos}: local {local:.2f}; link {ours['edge']:.2f} + {ours['hub']:.2f}; "
            f"mosquitto {theirs['edge']:.2f} + {theirs['hub']:.2f} µs; edge/local {ours['edge'] / local:.2f}, "
            f"both/local {(ours['edge'] + ours['hub']) / local:.2f}, "
            f"both/mosquitto {(ours['edge'] + ours['hub']) / sum(row['theirs']):.3f}; "
            f"{local_rates(row)} a second"
        )
    return rows


def local_rates(row: dict) -> str:
    return " / ".join(f"{rate:,.0f}" for rate in row["rates"])


# The drain


def drain(qos: int, programs, options) -> dict:
    ends, nodes = [], []
    try:
        hub = Node("drawbridge", "hub", programs)
        edge = Node("drawbridge", "edge", programs, upstream=hub.port, more=options.link, inflight=options.inflight)
        nodes = [hub, edge]
        edge.start()
        memory = {"start": edge.resident()}
        topics = [f"backlog/{number:03}" for number in range(20)]
        began = time.monotonic()
        publishers = Publishers(edge.port, topics, qos, count=options.count, window=10_000)
        ends.append(publishers)
        samples = []
        while publishers.answered.value < options.count:
            if not publishers.process.is_alive() and publishers.answered.value < options.count:
                sys.exit(f"links: a publisher ended with {publishers.answered.value} answers")
            time.sleep(0.2)
            samples.append((publishers.answered.value, edge.resident()))
        filled = time.monotonic() - began
        memory["tenth"] = next(each for sent, each in samples if sent >= options.count // 10)
        memory["full"] = edge.resident()
        # The line returns. Whoever listens there is there before the link is.
        hub.start()
        subscriber = Subscriber(hub.port, "backlog/#", qos)
        listener = Subscriber(hub.port, "live/a", qos, client_id="listens")
        ends += [subscriber, listener]
        while not subscriber.heard.value:
            time.sleep(0.001)
        came_back = time.time()
        # From now on: what is published while the line is down is late by as long as it is down.
        live = Publishers(edge.port, ["live/a"], qos, rate=10)
        ends.append(live)
        cpu = (edge.cpu_seconds(), hub.cpu_seconds())
        most, deadline = 0.0, time.monotonic() + 600
        while subscriber.heard.value < options.count and time.monotonic() < deadline:
            most = max(most, edge.resident())
            time.sleep(0.05)
            if listener.heard.value == 0:
                continue
        took = subscriber.last.value - subscriber.first.value
        cpu = (edge.cpu_seconds() - cpu[0], hub.cpu_seconds() - cpu[1])
        memory["draining"] = most
        time.sleep(1)
        heard = subscriber.heard.value
        if heard != options.count or subscriber.faults.value or listener.faults.value:
            say(
                f"FAULTY: {heard:,} of {options.count:,} heard, {subscriber.faults.value} out of order, "
                f"of the live ones {listener.faults.value}"
            )
        result = {
            "qos": qos,
            "filled": options.count / filled,
            "rate": heard / took,
            "live": listener.heard.value,
            "late": listener.slow.value,
            "slowest": listener.slowest.value,
            "memory": memory,
            "cpu": tuple(each * 1e6 / heard for each in cpu),
            "faults": heard != options.count or subscriber.faults.value + listener.faults.value > 0,
        }
        say(
            f"drain QoS {qos}: filled at {result['filled']:,.0f}/s, drained at {result['rate']:,.0f}/s; "
            f"{result['live']} live messages, {result['late']} of them later than 1 s, the slowest {result['slowest']:.2f} s; "
            f"resident MB {', '.join(f'{key} {value:.0f}' for key, value in memory.items())}; "
            f"CPU µs {result['cpu'][0]:.1f} + {result['cpu'][1]:.1f}; came back at {came_back:.0f}"
        )
        return result
    finally:
        for end in reversed(ends):
            end.end()
        for node in reversed(nodes):
            node.end()


# What is written of it


def section(rows: list[dict], drains: list[dict], programs, command: str) -> str:
    lines = [document.machine(programs, command).rstrip(), ""]
    lines += [
        f"CPU µs a message of {PAYLOAD} bytes, edge + upstream; the bars are {COST_BAR} times local delivery for each broker "
        "and a third of mosquitto's bridge for both together:",
        "",
        "| QoS | local, durable | a link | edge / local | upstream / local | mosquitto's bridge | both / mosquitto's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        (edge, hub), (their_edge, their_hub), local = row["ours"], row["theirs"], row["local"]
        lines.append(
            f"| {row['qos']} | {local:.2f} | {edge:.2f} + {hub:.2f} | **{edge / local:.2f}** | **{hub / local:.2f}** "
            f"| {their_edge:.2f} + {their_hub:.2f} | **{(edge + hub) / (their_edge + their_hub):.2f}** |"
        )
    lines += [
        "",
        f"Drain after an outage, with 10 live messages a second on another topic; bars: {DRAIN_BAR:,}/s and "
        f"{LATE_BAR:g} s:",
        "",
        "| QoS | waiting | drained a second | live: slowest | resident MB: at a tenth, full, at most while draining | CPU µs |",
        "|---|---|---|---|---|---|",
    ]
    for one in drains:
        memory = one["memory"]
        lines.append(
            f"| {one['qos']} | {one['count']:,} | **{one['rate']:,.0f}** | {one['slowest']:.2f} s of {one['live']} "
            f"| {memory['tenth']:.0f}, {memory['full']:.0f}, {memory['draining']:.0f} "
            f"| {one['cpu'][0]:.1f} + {one['cpu'][1]:.1f} |"
        )
    return "\n" + "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawbridge", required=True, help="path of the release binary")
    parser.add_argument("--rows", default="", help="cost, drain, drain-2: some only; writes nothing")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--publishers", type=int, default=10)
    parser.add_argument("--window", type=int, default=1000, help="messages under way from end to end")
    parser.add_argument("--count", type=int, default=1_000_000, help="messages that wait")
    parser.add_argument("--inflight", type=int, default=0, help="max_inflight of the link that drains; 0: the default")
    parser.add_argument("--link", default="", help="more keys of the link that drains")
    options = parser.parse_args()
    programs = Programs(options.drawbridge)
    wanted = options.rows.split(",") if options.rows else ["cost", "drain", "drain-2"]
    rows, drains = [], []
    try:
        if "cost" in wanted:
            rows = costs(programs, options)
        for qos, key in ((1, "drain"), (2, "drain-2")):
            if key in wanted:
                drains.append(drain(qos, programs, options) | {"count": options.count})
        if not options.rows:
            given = " ".join(sys.argv[sys.argv.index(options.drawbridge) + 1 :])
            command = f'make links ARGS="{given}"' if given else "make links"
            document.replace(BEGIN, END, section(rows, drains, programs, command))
    finally:
        programs.close()
    return 1 if any(one["faults"] for one in drains) else 0


def say(line: str):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

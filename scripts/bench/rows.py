"""What is measured by one run of `drawbridge bench` against each broker, and what it may cost."""

import dataclasses
import json
import subprocess

from brokers import Broker

# 127.0.0.1 to 127.0.0.40: a connection that comes and goes leaves its port unusable for a minute.
SOURCES = ",".join(f"127.0.0.{number}" for number in range(1, 41))


@dataclasses.dataclass(frozen=True)
class Row:
    #: What it is called on the command line.
    key: str
    name: str
    #: Of `drawbridge bench`.
    arguments: str
    #: At most this share of mosquitto's; for latencies the microseconds on top of mosquitto's.
    bar: float
    transport: str = "tcp"
    #: "cost": CPU µs per delivered message. "connect": CPU µs per connection. "latency": p99 in µs.
    figure: str = "cost"

    @property
    def flags(self) -> str:
        """The arguments with the version, which is 3.1.1 unless told."""
        return self.arguments if "-V" in self.arguments else f"{self.arguments} -V 4"

    def allows(self, mosquitto: float, drawbridge: float) -> bool:
        if self.figure == "latency":
            return drawbridge <= mosquitto + self.bar
        return drawbridge <= mosquitto * self.bar


ROWS = [
    Row("fanin-q0", "fan-in 50 to 1, QoS 0", "fanin -c 50 -q 0", 1 / 10),
    Row("fanin-q1", "fan-in 50 to 1, QoS 1", "fanin -c 50 -q 1", 1 / 12),
    Row("fanout100-q0", "fan-out 1 to 100, QoS 0", "fanout -c 100 -q 0", 1 / 20),
    Row("fanout100-q1", "fan-out 1 to 100, QoS 1", "fanout -c 100 -q 1", 1 / 15),
    Row("fanout1000-q0", "fan-out 1 to 1000, QoS 0", "fanout -c 1000 -q 0", 1 / 10),
    Row("fanout1000-q1", "fan-out 1 to 1000, QoS 1", "fanout -c 1000 -q 1", 1 / 10),
    Row("pair-q0", "100 pairs, QoS 0", "pair -q 0", 1 / 12),
    Row("pair-q1", "100 pairs, QoS 1", "pair -q 1", 1 / 15),
    Row("pair-q2", "100 pairs, QoS 2", "pair -q 2", 1 / 15),
    Row("pair5-q0", "100 pairs, MQTT 5, QoS 0", "pair -V 5 -q 0", 1 / 12),
    Row("pair5-q1", "100 pairs, MQTT 5, QoS 1", "pair -V 5 -q 1", 1 / 15),
    Row("pair5-q2", "100 pairs, MQTT 5, QoS 2", "pair -V 5 -q 2", 1 / 15),
    Row("4kb-q0", "100 pairs of 4 KB, QoS 0", "pair -s 4096 -q 0", 1 / 6),
    Row("chat-q0", "chat of 200 in tens, QoS 0", "chat -c 200 -q 0", 1 / 15),
    Row("chat-q1", "chat of 200 in tens, QoS 1", "chat -c 200 -q 1", 1 / 15),
    Row("ws-q0", "100 pairs, WebSocket, QoS 0", "pair -q 0", 1 / 8, "ws"),
    Row("ws-q1", "100 pairs, WebSocket, QoS 1", "pair -q 1", 1 / 11, "ws"),
    Row("tls-q0", "100 pairs, TLS, QoS 0", "pair -q 0", 1 / 9, "tls"),
    Row("tls-q1", "100 pairs, TLS, QoS 1", "pair -q 1", 1 / 11, "tls"),
    Row("one-q0", "one in flight, QoS 0", "pair --window 1 -q 0", 1),
    Row("one-q1", "one in flight, QoS 1", "pair --window 1 -q 1", 1),
    Row("connect", "connect and disconnect", f"conn -c 50 --churn --ifaddr {SOURCES}", 1.3, figure="connect"),
    Row("latency-q0", "p99 at 20,000/s, QoS 0", "pair --rate 20000 -q 0", 1000, figure="latency"),
    Row("latency-q1", "p99 at 20,000/s, QoS 1", "pair --rate 20000 -q 1", 1000, figure="latency"),
]


class Faulty(Exception):
    """A broker lost, doubled or mixed up messages, or the run could not take place."""


@dataclasses.dataclass
class Result:
    """One run against one broker."""

    figure: float
    #: Messages, or connections, a second.
    rate: float


def run(row: Row, broker: Broker, programs, seconds: float) -> Result:
    command = [programs.drawbridge, "bench", *row.flags.split(), *broker.client_flags(row.transport)]
    command += ["--pid", str(broker.pid), "--warm-up", "1", "--duration", str(seconds), "--json", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise Faulty(f"{broker.name}, {row.name}: bench ends with {run.returncode}: {run.stdout} {run.stderr}")
    report = json.loads(run.stdout)
    match row.figure:
        case "cost":
            return Result(report["broker"]["cpu_seconds_per_million"], report["received_per_second"])
        case "connect":
            return Result(report["broker"]["cpu_micros_per_connect"], report["connects_per_second"])
        case _:
            return Result(report["latency_micros"]["p99"], report["received_per_second"])

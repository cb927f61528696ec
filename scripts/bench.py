#!/usr/bin/env python3
"""Cost of Drawbridge beside Debian's mosquitto: broker CPU microseconds per delivered message.

Each scenario runs against both brokers in turn, each started afresh in an empty folder, `--passes` times; the table
holds the medians. CPU seconds per message are compared and not rates, because on a shared machine the rate says more
about the neighbours than about the broker. A run in which mqload finds loss, duplicates or reordering fails.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SCENARIOS = {
    "fan-out 1 to 100, QoS 0": "fanout -P 1 -S 100 -q 0",
    "fan-out 1 to 100, QoS 1": "fanout -P 1 -S 100 -q 1",
    "50 pairs, QoS 0": "pair -n 50 -q 0",
    "50 pairs, QoS 1": "pair -n 50 -q 1",
}

# Both without logging and with unlimited windows: with its default of 32 messages in flight (mosquitto: 20) a broker
# waits for the client more often, and the figure is of the waiting.
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_dest none
sys_interval 0
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
"""

DRAWBRIDGE = """
[node]
id = "bench"
data_dir = "{folder}/data"
[log]
level = "error"
[limits]
inflight = 65535
receive_maximum = 65535
[[listener]]
name = "mqtt"
type = "mqtt"
bind = ["127.0.0.1:{port}"]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker on a free port; ends with the `with` block."""

    def __init__(self, name: str, binary: str):
        self.name, self.binary, self.port = name, binary, free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-bench-"))

    def __enter__(self):
        template = MOSQUITTO if self.name == "mosquitto" else DRAWBRIDGE
        file = self.folder / "broker.conf"
        file.write_text(template.format(port=self.port, folder=self.folder))
        arguments = ["-c", str(file)] if self.name == "mosquitto" else ["run", "--config", str(file)]
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([self.binary, *arguments], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"bench: {self.name} did not start: {(self.folder / 'log').read_text()[-500:]}")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mqload", required=True, help="path of the load generator's binary")
    parser.add_argument("--drawbridge", required=True, help="path of Drawbridge's release binary")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="measured time of each run")
    parser.add_argument("--only", default="", help="part of a scenario's name")
    parser.add_argument("--max-ratio", type=float, help="fail when Drawbridge costs more than this share of mosquitto")
    options = parser.parse_args()
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    mosquitto = shutil.which("mosquitto") or sys.exit("bench: no mosquitto here; apt-get install mosquitto")
    brokers = {"mosquitto": mosquitto, "drawbridge": options.drawbridge}

    failed = False
    print("| scenario | mosquitto µs | drawbridge µs | ratio | mosquitto msg/s | drawbridge msg/s |")
    print("|---|---|---|---|---|---|")
    for scenario, arguments in SCENARIOS.items():
        if options.only not in scenario:
            continue
        costs = {name: [] for name in brokers}
        rates = {name: [] for name in brokers}
        for _ in range(options.passes):
            for name, binary in brokers.items():
                with Broker(name, binary) as broker:
                    command = [options.mqload, *arguments.split(), "-p", str(broker.port), "-i", str(broker.process.pid)]
                    command += ["-W", "1", "-d", str(options.seconds)]
                    run = subprocess.run(command, capture_output=True, text=True)
                if run.returncode != 0:
                    print(f"bench: {name}, {scenario}: mqload ends with {run.returncode}: {run.stdout} {run.stderr}")
                    failed = True
                    continue
                result = json.loads(run.stdout)
                costs[name].append(result["broker_cpu_s_per_Mout"])
                rates[name].append(result["out_per_s"])
        if not all(costs.values()):
            continue
        cost = {name: statistics.median(values) for name, values in costs.items()}
        rate = {name: statistics.median(values) for name, values in rates.items()}
        ratio = cost["drawbridge"] / cost["mosquitto"]
        failed = failed or (options.max_ratio is not None and ratio > options.max_ratio)
        print(
            f"| {scenario} | {cost['mosquitto']:.2f} | {cost['drawbridge']:.2f} | {ratio:.2f} "
            f"| {rate['mosquitto']:,.0f} | {rate['drawbridge']:,.0f} |",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

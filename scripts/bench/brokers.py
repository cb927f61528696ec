"""The two brokers under test: each starts afresh in an empty folder on free ports, and ends with the `with` block."""

import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# Neither logs, neither limits what is under way or waits: with its default of 20 (drawbridge: 32) unanswered messages a
# broker waits for the client more often, and the figure is of the waiting.
MOSQUITTO = """
user root
persistence false
log_dest none
sys_interval 0
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
listener {tcp} 127.0.0.1
allow_anonymous true
listener {ws} 127.0.0.1
protocol websockets
allow_anonymous true
listener {tls} 127.0.0.1
allow_anonymous true
certfile {certificates}/server.crt
keyfile {certificates}/server.key
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
max_awaiting_rel = 65535
[queue]
max_messages = 100000000
max_bytes = "64GB"
[[listener]]
name = "mqtt"
type = "mqtt"
bind = ["127.0.0.1:{tcp}"]
[[listener]]
name = "ws"
type = "web"
bind = ["127.0.0.1:{ws}"]
[[listener]]
name = "tls"
type = "mqtt"
bind = ["127.0.0.1:{tls}"]
[listener.tls]
cert = "{certificates}/server.crt"
key = "{certificates}/server.key"
"""


class Programs:
    """What is measured and what measures, with the certificates that both brokers show."""

    def __init__(self, drawbridge: str):
        self.drawbridge = drawbridge
        path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
        self.mosquitto = shutil.which("mosquitto", path=path) or sys.exit(
            "bench: no mosquitto here; apt-get install mosquitto"
        )
        self.certificates = tempfile.mkdtemp(prefix="drawbridge-bench-certs-")
        # Only root may name a user, and only a broker that was started by root gives up being root.
        self.mosquitto_configuration = MOSQUITTO if os.getuid() == 0 else MOSQUITTO.replace("user root\n", "")
        subprocess.run(
            [drawbridge, "cert", "init", self.certificates],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self):
        shutil.rmtree(self.certificates, ignore_errors=True)

    def version(self, name: str) -> str:
        if name == "drawbridge":
            return subprocess.run([self.drawbridge, "version"], capture_output=True, text=True).stdout.strip()
        text = subprocess.run([self.mosquitto, "-h"], capture_output=True, text=True).stdout
        return text.splitlines()[0].replace(" version", "")


class Broker:
    NAMES = ("mosquitto", "drawbridge")

    def __init__(self, name: str, programs: Programs):
        self.name, self.programs = name, programs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-bench-"))
        self.ports = dict(zip(("tcp", "ws", "tls"), free_ports(3)))

    def __enter__(self):
        drawbridge = self.name == "drawbridge"
        template = DRAWBRIDGE if drawbridge else self.programs.mosquitto_configuration
        file = self.folder / "broker.conf"
        file.write_text(
            template.format(folder=self.folder, certificates=self.programs.certificates, **self.ports)
        )
        command = (
            [self.programs.drawbridge, "run", "--config", str(file)]
            if drawbridge
            else [self.programs.mosquitto, "-c", str(file)]
        )
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=raise_file_limit)
        deadline = time.monotonic() + 15
        for port in self.ports.values():
            while not answers(port):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"bench: {self.name} did not start: {(self.folder / 'log').read_text()[-500:]}")
                time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    def client_flags(self, transport: str) -> list[str]:
        """What `drawbridge bench` has to be told to reach it."""
        flags = ["-h", "localhost" if transport == "tls" else "127.0.0.1", "-p", str(self.ports[transport])]
        if transport == "ws":
            flags.append("--ws")
        if transport == "tls":
            flags += ["-S", "--cafile", f"{self.programs.certificates}/ca.crt"]
        return flags

    # What the kernel knows of it.

    def memory(self) -> dict[str, int]:
        """Resident memory and its anonymous part, in bytes."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {key: int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon")}

    def cpu_seconds(self) -> float:
        """Of all its threads, to the nanosecond and not to the clock tick."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def sockets(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to clients, or one of them could take a port before the broker does."""
    ports = []
    for port in random.sample(range(10_000, 30_000), 1_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    sys.exit("bench: no free ports")


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

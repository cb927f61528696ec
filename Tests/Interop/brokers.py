"""The two brokers of these tests as processes: Drawbridge, and Debian's mosquitto as somebody else's.

Each runs on free ports in a folder of its own, keeps ports and data over a restart, and leaves its output in a file
that a failing test can show.
"""

import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import urllib.request
import zlib

from eventually import eventually
from keys import NoKeys


_ports = itertools.count(random.randrange(20_000, 28_000))


def free_port():
    """A port that nobody listens on, and that no test of this run was given before. Below the ports that the system
    gives to outgoing connections, one of which could take it before its broker does."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def program(name):
    """The path of a program of others; a test whose peer is missing fails and says how to get it."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert path, f"{name} is not installed: run scripts/setup.sh test"
    return path


def drawbridge_binary():
    path = os.environ.get("DRAWBRIDGE")
    assert path and os.access(path, os.X_OK), "DRAWBRIDGE must name the binary: use `make interop` or scripts/interop.sh"
    return path


class BrokerProcess:
    """What both have in common: start, stop, kill, and a log."""

    login = None  # (user name, password) that clients say, where a broker wants that

    def __init__(self, folder, name):
        self.name = name
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = self.folder / "log"
        self.process = None
        self.keys = NoKeys()

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_tail(self, characters=3000):
        return f"\n--- {self.name}\n{self.log()[-characters:]}"

    def spawn(self, command, environment=None):
        assert not self.is_running, f"{self.name} runs already"
        self.log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
            )

    def log_since_start(self):
        return self.log_file.read_bytes()[self.log_start :].decode(errors="replace")

    def stop(self, seconds=20):
        """SIGTERM, as an operator or systemd does it; returns the exit status."""
        if self.process is None:
            return None
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} still runs {seconds} s after SIGTERM{self.log_tail()}") from None

    def kill(self):
        """kill -9: nothing is said, nothing is flushed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def paused(self):
        """It does nothing for a while, as on a machine that is suspended; nobody is told."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def clean_up(self):
        if self.is_running:
            self.kill()


def loops(name):
    """How many event loops a node has must not matter: tests have 1, 2 or 4, by their name."""
    return int(os.environ.get("DRAWBRIDGE_LOOPS") or (1, 2, 4)[zlib.crc32(name.encode()) % 3])


class Drawbridge(BrokerProcess):
    """One node with an MQTT and a web listener on loopback, and links if wanted."""

    def __init__(self, folder, name="a", links="", more="", event_loops=None):
        super().__init__(folder, name)
        self.port = free_port()
        self.web_port = free_port()
        self.data = self.folder / "data"
        self.config_file = self.folder / "drawbridge.toml"
        self.config_file.write_text(
            f"""
[node]
id = "{name}"
data_dir = "{self.data}"
loops = {event_loops or loops(self.folder.parent.name + name)}
{more}
[[listener]]
name = "mqtt"
type = "mqtt"
bind = ["127.0.0.1:{self.port}"]
[[listener]]
name = "web"
type = "web"
bind = ["127.0.0.1:{self.web_port}"]
{links}
"""
        )

    @property
    def web(self):
        return f"http{'s' if self.keys.context else ''}://127.0.0.1:{self.web_port}"

    @property
    def command(self):
        return [drawbridge_binary(), "run", "--config", str(self.config_file)]

    def start(self, seconds=30, environment=None):
        self.spawn(self.command, environment)

        def is_ready():
            assert self.is_running, f"{self.name} ended with {self.process.returncode}{self.log_tail()}"
            return "ready" in self.log_since_start().splitlines()

        eventually(lambda: f"{self.name} says ready{self.log_tail()}", is_ready, seconds)
        return self

    def restart(self):
        return self.start()

    def health(self):
        with urllib.request.urlopen(f"{self.web}/healthz", timeout=5, context=self.keys.context) as reply:
            return json.load(reply)

    def link(self, name="hub"):
        """What /healthz says about a link, or None while it cannot be asked."""
        try:
            return next((link for link in self.health()["links"] if link["name"] == name), None)
        except OSError:
            return None

    def wait_for_link(self, name="hub", state="live", seconds=60):
        eventually(
            lambda: f"link {name} of {self.name} is {state}; it is {self.link(name)}{self.log_tail()}",
            lambda: (self.link(name) or {}).get("state") == state,
            seconds,
        )


def link_to(port, name="hub", filter="chat/#", qos=2, protocol=5, more=""):
    """The TOML of a link that shares `filter` both ways with the broker on `port`; quick to come back after an outage."""
    version = f'"{protocol}"' if isinstance(protocol, str) else protocol
    return f"""
[defaults.link]
backoff = {{ base = "100ms", cap = "1s" }}
[[link]]
name = "{name}"
addresses = ["mqtt://127.0.0.1:{port}"]
protocol = {version}
{more}
[[link.both]]
filter = "{filter}"
qos = {qos}
"""


class Mosquitto(BrokerProcess):
    """Debian's mosquitto: keeps everything, drops nothing, and saves when it is stopped by SIGTERM."""

    def __init__(self, folder, name="hub", more=""):
        super().__init__(folder, name)
        self.port = free_port()
        self.web_port = free_port()
        self.config_file = self.folder / "mosquitto.conf"
        self.config_file.write_text(
            f"""
user root
listener {self.port} 127.0.0.1
listener {self.web_port}
protocol websockets
allow_anonymous true
persistence true
persistence_location {self.folder}/
max_queued_messages 0
log_type error
log_type warning
log_type notice
log_type information
log_dest stderr
{more}
"""
        )

    def start(self, seconds=20):
        self.spawn([program("mosquitto"), "-c", str(self.config_file)])

        def is_ready():
            assert self.is_running, f"{self.name} ended with {self.process.returncode}{self.log_tail()}"
            return accepts(self.port) and accepts(self.web_port)

        eventually(lambda: f"{self.name} accepts connections{self.log_tail()}", is_ready, seconds)
        return self

    restart = start

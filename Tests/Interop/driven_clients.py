"""Clients in processes of their own that take orders on stdin and tell on stdout, in JSON, what happened."""

import json
import os
import pathlib
import subprocess
import tempfile
import threading

from brokers import program
from client import Client, Message
from eventually import eventually

FOLDER = pathlib.Path(__file__).parent


class DrivenClient(Client):
    version = 4

    def connect(self):
        self.events = []
        self.process = subprocess.Popen(
            self.command(),
            env={**os.environ, "NODE_PATH": "/usr/share/nodejs"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        connected = self._wait(lambda event: event["event"] in ("connect", "error"), "it connects")
        assert connected["event"] == "connect", connected
        self.session_present = connected["sessionPresent"]

    def _read(self, stream):
        for line in stream:
            event = json.loads(line) if line.startswith("{") else {"event": "output", "line": line}
            if event["event"] == "message":
                self.messages.append(Message(event["topic"], event["payload"], event["qos"], event["retain"]))
            self.events.append(event)

    def _wait(self, matches, what, start=0):
        return eventually(
            lambda: f"{what}; it said {self.events}", lambda: next(filter(matches, self.events[start:]), None)
        )

    def _say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _order(self, order, **rest):
        start = len(self.events)
        self._say(self.line(order, **rest))
        done = self._wait(lambda event: event["event"] == "done", f"{order} is answered", start)
        assert not done.get("error"), done
        return done

    def subscribe(self, filter, qos):
        done = self._order("subscribe", topic=filter, qos=qos)
        assert done["granted"][0]["qos"] == qos

    def resume(self, filter, qos):
        assert self.session_present, "the session was forgotten"

    def publish(self, topic, payload, qos, retain=False):
        self._order("publish", topic=topic, qos=qos, retain=retain, payload=payload)

    def close(self):
        self._say(self.line("end"))
        self.process.wait(10)

    def vanish(self):
        self.process.kill()
        self.process.wait(10)


class NodeClient(DrivenClient):
    """Debian's node-mqtt."""

    more = {}  # options of its own

    def command(self):
        options = {
            "url": self.url("mqtt", "ws"),
            "clientId": self.client_id,
            "clean": self.clean,
            "protocolVersion": self.version,
            **self.more,
        }
        if self.version == 5 and not self.clean:
            options["properties"] = {"sessionExpiryInterval": 3600}
        if self.will:
            options["will"] = self.will._asdict()
        if self.broker.keys.authority:
            options["authority"] = self.broker.keys.authority
        return [program("node"), str(FOLDER / "node_client.js"), json.dumps(options)]

    def line(self, order, **rest):
        return json.dumps({"order": order, **rest})


class NodeFive(NodeClient):
    version = 5


class NodeWebSocket(NodeClient):
    transport = "websockets"


class NodeFiveWebSocket(NodeFive):
    transport = "websockets"


class PahoCClient(DrivenClient):
    """Debian's Paho in C; one library for all its transports."""

    _program = None

    @classmethod
    def program(cls):
        """Compiled once a run, in a folder that ends with it."""
        if PahoCClient._program is None:
            PahoCClient._folder = tempfile.TemporaryDirectory(prefix="paho-c-")
            path = os.path.join(PahoCClient._folder.name, "paho_c_client")
            command = ["cc", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter"]  # that one for Paho's own headers
            command += ["-o", path, str(FOLDER / "paho_c_client.c"), "-lpaho-mqtt3cs", "-lpthread"]
            result = subprocess.run(command, capture_output=True, text=True)
            assert result.returncode == 0, f"{result.stderr}\nIs all here? scripts/setup.sh test"
            PahoCClient._program = path
        return PahoCClient._program

    def command(self):
        settings = {
            "url": self.url("tcp", "ws").replace("tcps:", "ssl:"),
            "id": self.client_id,
            "clean": int(self.clean),
            "version": self.version,
        }
        if self.will:
            settings |= {f"will-{name}": value for name, value in self.will._asdict().items()}
            settings["will-retain"] = int(self.will.retain)
        if self.broker.keys.authority:
            settings["authority"] = self.broker.keys.authority
        return [self.program(), *(f"{name}={value}" for name, value in settings.items())]

    def line(self, order, **rest):
        return "\t".join([order, *(str(int(part)) if isinstance(part, bool) else str(part) for part in rest.values())])


class PahoCFive(PahoCClient):
    version = 5

    def resume(self, filter, qos):
        """This library tells of a session present with version 3.1.1 only; the messages of the session will tell."""


class PahoCWebSocket(PahoCClient):
    transport = "websockets"


class PahoCFiveWebSocket(PahoCFive):
    transport = "websockets"

"""Clients of others behind one face, so that one test speaks to all of them.

A client connects when it is made, or, for the mosquitto programs, when it first has something to do. `messages` holds
what it received; `close` says DISCONNECT; `vanish` cuts the line without a word, so that a will is due.
"""

import collections
import json
import os
import socket
import subprocess
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from brokers import program
from eventually import eventually

Message = collections.namedtuple("Message", "topic payload qos retain")
Will = collections.namedtuple("Will", "topic payload qos retain")


class Client:
    leaves_without_will = True

    def __init__(self, broker, client_id, clean=True, will=None):
        self.broker, self.client_id, self.clean, self.will = broker, client_id, clean, will
        self.messages = []
        self.connect()

    def wait_for(self, count, seconds=20):
        """The messages, once there are `count` of them."""
        eventually(
            lambda: f"{self.client_id} received {count} messages; it has {self.messages}",
            lambda: len(self.messages) >= count,
            seconds,
        )
        return list(self.messages)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.vanish()


class PahoClient(Client):
    version = MQTTProtocolVersion.MQTTv311
    transport = "tcp"

    def connect(self):
        is_five = self.version == MQTTProtocolVersion.MQTTv5
        options = {} if is_five else {"clean_session": self.clean}
        client = paho.Client(
            CallbackAPIVersion.VERSION2, self.client_id, protocol=self.version, transport=self.transport, **options
        )
        self.client, self.subscribed, self.unsubscribed, self.connected = client, {}, set(), None
        client.on_message = lambda client, data, m: self.messages.append(
            Message(m.topic, m.payload.decode(), m.qos, bool(m.retain))
        )
        client.on_connect = self._on_connect
        client.on_subscribe = lambda client, data, mid, codes, properties: self.subscribed.update({mid: codes})
        client.on_unsubscribe = lambda client, data, mid, codes, properties: self.unsubscribed.add(mid)
        if self.will:
            client.will_set(*self.will)
        if self.transport == "websockets":
            client.ws_set_options(path="/mqtt")
        self.broker.keys.paho(client)
        port = self.broker.web_port if self.transport == "websockets" else self.broker.port
        if is_five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if self.clean else 3600
            client.connect("127.0.0.1", port, clean_start=self.clean, properties=properties)
        else:
            client.connect("127.0.0.1", port)
        client.loop_start()
        eventually("CONNACK arrives", lambda: self.connected is not None)
        assert not self.connected.is_failure, f"CONNECT refused: {self.connected}"

    def _on_connect(self, client, data, flags, reason, properties):
        self.session_present = flags.session_present
        self.connected = reason

    def subscribe(self, filter, qos):
        result, mid = self.client.subscribe(filter, qos)
        eventually("SUBACK arrives", lambda: mid in self.subscribed)
        assert self.subscribed[mid][0].value == qos

    def unsubscribe(self, filter):
        _, mid = self.client.unsubscribe(filter)
        eventually("UNSUBACK arrives", lambda: mid in self.unsubscribed)

    def resume(self, filter, qos):
        assert self.session_present, "the session was forgotten"

    def publish(self, topic, payload, qos, retain=False):
        sent = self.client.publish(topic, payload, qos, retain)
        sent.wait_for_publish(15)
        assert sent.is_published(), f"QoS {qos} is not acknowledged"

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        # paho would come back by itself, so it first learns that this is the end.
        self.client._thread_terminate = True
        if wire := self.client.socket():
            getattr(wire, "_socket", wire).shutdown(socket.SHUT_RDWR)  # its WebSocket wrapper has no shutdown
        self.client.loop_stop()


class PahoFive(PahoClient):
    version = MQTTProtocolVersion.MQTTv5


class PahoWebSocket(PahoClient):
    transport = "websockets"


class PahoFiveWebSocket(PahoFive):
    transport = "websockets"


class MosquittoClient(Client):
    """mosquitto_sub to receive and mosquitto_pub to send; the session is that of mosquitto_sub."""

    version = "mqttv311"

    def connect(self):
        self.process = None

    def subscribe(self, filter, qos):
        command = ["stdbuf", "-oL", program("mosquitto_sub"), "-d", "-F", "%j", "-V", self.version]
        command += ["-p", str(self.broker.port), "-i", self.client_id, "-t", filter, "-q", str(qos)]
        if not self.clean:
            command.append("-c")
        if self.will:
            command += ["--will-topic", self.will.topic, "--will-payload", self.will.payload]
            command += ["--will-qos", str(self.will.qos)] + (["--will-retain"] if self.will.retain else [])
        self.output, subscribed = [], threading.Event()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def read(stream):
            for line in stream:
                self.output.append(line)
                if line.startswith("{"):
                    m = json.loads(line)
                    self.messages.append(Message(m["topic"], str(m["payload"]), m["qos"], bool(m["retain"])))
                elif line.startswith("Subscribed (mid: "):
                    subscribed.set()

        threading.Thread(target=read, args=(self.process.stdout,), daemon=True).start()
        assert subscribed.wait(20), f"mosquitto_sub gets no SUBACK: {self.output}"

    # mosquitto_sub cannot do without a filter, so it subscribes again; the messages of its session come all the same.
    resume = subscribe

    def publish(self, topic, payload, qos, retain=False):
        command = [program("mosquitto_pub"), "-V", self.version, "-p", str(self.broker.port)]
        command += ["-t", topic, "-m", payload, "-q", str(qos)] + (["-r"] if retain else [])
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert result.returncode == 0, f"mosquitto_pub: {result.stderr}"

    def close(self):
        if self.process:
            self.process.terminate()  # it says DISCONNECT on SIGTERM
            self.process.wait(10)

    def vanish(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)


class MosquittoFive(MosquittoClient):
    version = "mqttv5"
    leaves_without_will = False  # with version 5 it answers SIGTERM with DISCONNECT 0x04, "publish my will"


class NodeClient(Client):
    """node-mqtt over WebSocket, in a process of its own."""

    version = 4
    more = {}

    def connect(self):
        options = {
            "url": f"ws://127.0.0.1:{self.broker.web_port}/mqtt",
            "clientId": self.client_id,
            "clean": self.clean,
            "protocolVersion": self.version,
            **self.more,
        }
        if self.version == 5 and not self.clean:
            options["properties"] = {"sessionExpiryInterval": 3600}
        if self.will:
            options["will"] = self.will._asdict()
        self.events, self.done = [], 0
        self.process = subprocess.Popen(
            [program("node"), os.path.join(os.path.dirname(__file__), "node_client.js"), json.dumps(options)],
            env={**os.environ, "NODE_PATH": "/usr/share/nodejs"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        connected = self._wait(lambda event: event["event"] == "connect", "node-mqtt connects")
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

    def _order(self, order, **rest):
        start = len(self.events)
        self.process.stdin.write(json.dumps({"order": order, **rest}) + "\n")
        self.process.stdin.flush()
        done = self._wait(lambda event: event["event"] == "done", f"{order} is answered", start)
        assert not done.get("error"), done
        return done

    def subscribe(self, filter, qos):
        done = self._order("subscribe", filter=filter, qos=qos)
        assert done["granted"][0]["qos"] == qos

    def resume(self, filter, qos):
        assert self.session_present, "the session was forgotten"

    def publish(self, topic, payload, qos, retain=False):
        self._order("publish", topic=topic, payload=payload, qos=qos, retain=retain)

    def close(self):
        self.process.stdin.write('{"order":"end"}\n')
        self.process.stdin.flush()
        self.process.wait(10)

    def vanish(self):
        self.process.kill()
        self.process.wait(10)


class NodeFive(NodeClient):
    version = 5


KINDS = {
    "mosquitto, 3.1.1": MosquittoClient,
    "mosquitto, 5": MosquittoFive,
    "paho, 3.1.1": PahoClient,
    "paho, 5": PahoFive,
    "paho, 3.1.1, WebSocket": PahoWebSocket,
    "paho, 5, WebSocket": PahoFiveWebSocket,
    "node-mqtt, 3.1.1, WebSocket": NodeClient,
    "node-mqtt, 5, WebSocket": NodeFive,
}

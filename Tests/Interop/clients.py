"""Clients of others behind one face; see client.py."""

import json
import socket
import subprocess
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from brokers import program
from client import Client, Message, Will
from driven_clients import (
    NodeClient,
    NodeFive,
    NodeFiveWebSocket,
    NodeWebSocket,
    PahoCClient,
    PahoCFive,
    PahoCFiveWebSocket,
    PahoCWebSocket,
)
from eventually import eventually
from gmqtt_client import GmqttClient, GmqttFive

__all__ = ["EVERY_KIND", "KINDS", "Client", "Message", "PahoClient", "PahoFive", "Will"]


class PahoClient(Client):
    version = MQTTProtocolVersion.MQTTv311

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
        if self.broker.login:
            client.username_pw_set(*self.broker.login)
        if is_five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if self.clean else 3600
            client.connect("127.0.0.1", self.port, clean_start=self.clean, properties=properties)
        else:
            client.connect("127.0.0.1", self.port)
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
        command += ["-p", str(self.port), "-i", self.client_id, *self.broker.keys.mosquitto]
        command += ["-t", filter, "-q", str(qos)]
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
        command = [program("mosquitto_pub"), "-V", self.version, "-p", str(self.port), *self.broker.keys.mosquitto]
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


# One transport of each client; these meet every test.
KINDS = {
    "mosquitto, 3.1.1": MosquittoClient,
    "mosquitto, 5": MosquittoFive,
    "paho, 3.1.1": PahoClient,
    "paho, 5": PahoFive,
    "paho C, 3.1.1": PahoCClient,
    "paho C, 5": PahoCFive,
    "gmqtt, 3.1.1": GmqttClient,
    "gmqtt, 5": GmqttFive,
    "node-mqtt, 3.1.1, WebSocket": NodeWebSocket,
    "node-mqtt, 5, WebSocket": NodeFiveWebSocket,
}

# The other transports of those that have more than one.
EVERY_KIND = KINDS | {
    "paho, 3.1.1, WebSocket": PahoWebSocket,
    "paho, 5, WebSocket": PahoFiveWebSocket,
    "paho C, 3.1.1, WebSocket": PahoCWebSocket,
    "paho C, 5, WebSocket": PahoCFiveWebSocket,
    "node-mqtt, 3.1.1": NodeClient,
    "node-mqtt, 5": NodeFive,
}

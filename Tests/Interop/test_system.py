"""What a node says of itself, how a client proves who it is by AUTH, and what it hears when the node shuts down."""

import base64
import hashlib
import hmac
import json
import os
import signal
import struct
import subprocess

from brokers import program
from eventually import eventually
from test_auth import passwd
from wire import CONNACK, CONNECT, DISCONNECT, PINGREQ, PINGRESP, Gone, Wire, text, variable_length

AUTH = 15


def watch(port, filter, tmp_path):
    """mosquitto_sub on a filter, writing to a file."""
    said = tmp_path / "said"
    process = subprocess.Popen(
        [program("mosquitto_sub"), "-p", str(port), "-t", filter, "-v", "-i", "watcher"], stdout=said.open("w")
    )
    return process, lambda: dict(line.split(" ", 1) for line in said.read_text().splitlines() if " " in line)


def test_mosquitto_sub_reads_the_values(brokers, tmp_path):
    node = brokers.drawbridge("a", more='[metrics]\nsys_interval = "1s"\n')
    node.start()
    watcher, said = watch(node.port, "$SYS/broker/#", tmp_path)
    try:
        eventually(said, lambda: said().get("$SYS/broker/clients/connected") == "1")
        with Wire(node.port, "ann", version=4, clean=True) as ann:
            ann.publish("a", b"12345")
            eventually(said, lambda: said().get("$SYS/broker/clients/connected") == "2")
            eventually(said, lambda: said().get("$SYS/broker/publish/bytes/received") == "5")
        values = said()
        assert values["$SYS/broker/version"].startswith("drawbridge version ")
        assert values["$SYS/broker/uptime"].endswith(" seconds")
        assert int(values["$SYS/broker/bytes/received"]) > 30
        assert int(values["$SYS/broker/bytes/sent"]) > 1000
        assert values["$SYS/broker/durability/mode"] == "sync"
    finally:
        watcher.terminate()
        watcher.wait(10)


def test_presence_says_who_came_and_went(brokers, tmp_path):
    node = brokers.drawbridge("a", more="")
    node.start()
    watcher, said = watch(node.port, "$SYS/brokers/+/clients/#", tmp_path)

    def event(client, name):
        found = [text for topic, text in said().items() if topic.endswith(f"/clients/{client}/{name}")]
        return json.loads(found[0]) if found else None

    try:

        def is_watching():
            with Wire(node.port, "probe", clean=True):
                return event("probe", "connected")

        eventually("mosquitto_sub listens", is_watching)
        with Wire(node.port, "ann", version=5, clean=False) as ann:
            came = eventually(said, lambda: event("ann", "connected"))
            assert came["ipaddress"] == "127.0.0.1" and came["protocol"] == 5 and came["session"] is True
            ann.disconnect()
        assert eventually(said, lambda: event("ann", "disconnected"))["reason"] == "normal"
    finally:
        watcher.terminate()
        watcher.wait(10)


# SCRAM-SHA-256 as RFC 5802 says it, made here from the Python library alone.


def properties_of(packet, at):
    """Method and data of an AUTH or CONNACK."""
    length, at = packet.body[at], at + 1
    found, end = {}, at + length
    while at < end:
        kind, at = packet.body[at], at + 1
        if kind in (0x15, 0x16, 0x1F, 0x12, 0x1C):
            size = struct.unpack_from("!H", packet.body, at)[0]
            found[kind] = packet.body[at + 2 : at + 2 + size]
            at += 2 + size
        else:
            at += {0x11: 4, 0x27: 4, 0x21: 2, 0x22: 2, 0x13: 2}.get(kind, 1)
    return found


def auth_properties(data):
    encoded = b"\x15" + text("SCRAM-SHA-256") + b"\x16" + text(data)
    return variable_length(len(encoded)) + encoded


class Dancer:
    def __init__(self, port, user, password, client_id="dancer"):
        self.user, self.password, self.nonce = user, password, base64.b64encode(os.urandom(12)).decode()
        self.wire = Wire(port, client_id, connect=False)
        self.client_id = client_id

    def first(self):
        self.bare = f"n={self.user},r={self.nonce}"
        return f"n,,{self.bare}"

    def final(self, challenge):
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        self.salt = fields["s"]
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        without = f"c=biws,r={fields['r']}"
        message = f"{self.bare},{challenge},{without}".encode()
        client = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        proof = bytes(x ^ y for x, y in zip(client, signature))
        self.server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{without},p={base64.b64encode(proof).decode()}"

    def goes_on(self):
        challenge = self.wire.read()
        assert challenge.kind == AUTH and challenge.body[0] == 0x18, challenge
        data = properties_of(challenge, 1)
        assert data[0x15] == b"SCRAM-SHA-256"
        self.wire.send(AUTH, 0, b"\x18" + auth_properties(self.final(data[0x16].decode())))
        return self.wire.read()

    def connects(self):
        body = text("MQTT") + bytes([5, 2]) + struct.pack("!H", 0) + auth_properties(self.first())
        self.wire.send(CONNECT, 0, body + text(self.client_id))
        return self.goes_on()

    def connects_again(self):
        self.wire.send(AUTH, 0, b"\x19" + auth_properties(self.first()))
        return self.goes_on()

    def knows(self, data):
        return data == b"v=" + base64.b64encode(self.server)


def test_a_client_proves_its_password_without_showing_it(brokers, tmp_path):
    users = tmp_path / "users"
    passwd(users, "ann", "secret", "--scram")
    passwd(users, "bob", "secret")
    assert "secret" not in users.read_text()
    node = brokers.drawbridge("a", more=f'[auth]\nusers.file = "{users}"\n')
    node.start()

    ann = Dancer(node.port, "ann", "secret")
    answer = ann.connects()
    assert answer.kind == CONNACK and answer.body[1] == 0, answer
    said = properties_of(answer, 2)
    assert said[0x15] == b"SCRAM-SHA-256" and ann.knows(said[0x16])

    answer = ann.connects_again()
    assert answer.kind == AUTH and answer.body[0] == 0, answer
    assert ann.knows(properties_of(answer, 1)[0x16])
    ann.wire.send(PINGREQ)
    assert ann.wire.read().kind == PINGRESP

    ann.password = "wrong"
    answer = ann.connects_again()
    assert answer.kind == DISCONNECT and answer.body[0] == 0x87, answer

    salts = []
    for user, password in (("ann", "wrong"), ("bob", "secret"), ("zoe", "secret"), ("zoe", "secret")):
        dancer = Dancer(node.port, user, password)
        answer = dancer.connects()
        assert answer.kind == CONNACK and answer.body[1] == 0x86, answer
        salts.append(dancer.salt)
    assert salts[2] == salts[3] and len(set(salts)) == 3


def test_a_node_that_shuts_down_says_where_to_go(brokers, tmp_path):
    node = brokers.drawbridge("a", more="")
    node.start()
    file = node.config_file
    file.write_text(file.read_text().replace("[node]\n", '[node]\nserver_reference = "edge-2:1883"\n', 1))
    os.kill(node.pid, signal.SIGHUP)
    eventually("the reload is logged", lambda: "node.server_reference" in node.log())
    with Wire(node.port, "ann") as ann, Wire(node.port, "old", version=4) as old:
        os.kill(node.pid, signal.SIGTERM)
        farewell = ann.read()
        assert farewell.kind == DISCONNECT and farewell.body[0] == 0x9C
        assert properties_of(farewell, 1)[0x1C] == b"edge-2:1883"
        try:
            raise AssertionError(f"version 3 hears nothing, got {old.read()}")
        except Gone:
            pass

"""A client without mercy or memory: raw packets of MQTT 3.1.1 and 5, one at a time, so that a test decides each step."""

import collections
import contextlib
import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK = range(1, 10)
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

Packet = collections.namedtuple("Packet", "kind flags body")
Publication = collections.namedtuple("Publication", "topic payload qos retain dup packet_id")


class Gone(Exception):
    """The broker closed the connection, or died."""


def variable_length(number):
    encoded = bytearray()
    while True:
        number, byte = divmod(number, 128)
        encoded.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(value)) + value


class Wire:
    """One connection. `version` is 4 (3.1.1) or 5; a session that is not clean lives for an hour after it."""

    def __init__(self, port, client_id, version=5, clean=False, keep_alive=0, connect=True):
        self.version = version
        self.received = bytearray()
        plain = socket.create_connection(("127.0.0.1", port), 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.connected(plain)
        if connect:
            properties = b"" if version < 5 else self._properties(b"" if clean else b"\x11" + struct.pack("!I", 3600))
            body = text("MQTT") + bytes([version, 2 if clean else 0]) + struct.pack("!H", keep_alive) + properties
            self.send(CONNECT, 0, body + text(client_id))
            answer = self.read()
            assert answer.kind == CONNACK, f"CONNACK expected, got {answer}"
            assert answer.body[1] == 0, f"CONNECT refused with 0x{answer.body[1]:02x}"
            self.session_present = answer.body[0] == 1

    def connected(self, plain):
        """What bytes go through: the connection as it is, unless somebody knows better."""
        return plain

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    @staticmethod
    def _properties(encoded):
        return variable_length(len(encoded)) + encoded

    def send(self, kind, flags=0, body=b""):
        try:
            self.socket.sendall(bytes([kind << 4 | flags]) + variable_length(len(body)) + body)
        except OSError as error:
            raise Gone(str(error)) from None

    def read(self, seconds=15):
        """The next packet; `Gone` when the connection ended, AssertionError when nothing came in time."""
        deadline = time.monotonic() + seconds
        while True:
            packet = self.next_packet()
            if packet is not None:
                return packet
            self.fill(max(0.01, deadline - time.monotonic()))
            assert time.monotonic() < deadline, f"no packet within {seconds} s"

    def fill(self, seconds):
        """Takes in what comes within that time, if anything does."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return
        except OSError as error:
            raise Gone(str(error)) from None
        finally:
            try:
                self.socket.settimeout(10)
            except OSError:
                pass
        if not data:
            raise Gone("closed by the broker")
        self.received += data

    def next_packet(self):
        """The next packet that is here as a whole, or None."""
        length, shift, at = 0, 0, 1
        while True:
            if at >= len(self.received):
                return None
            byte = self.received[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not byte & 0x80:
                break
        if len(self.received) < at + length:
            return None
        first, body = self.received[0], bytes(self.received[at : at + length])
        del self.received[: at + length]
        return Packet(first >> 4, first & 0x0F, body)

    def publish(self, topic, payload, qos=0, packet_id=0, retain=False, dup=False):
        body = text(topic) + (struct.pack("!H", packet_id) if qos else b"")
        body += b"\0" if self.version == 5 else b""
        self.send(PUBLISH, dup << 3 | qos << 1 | retain, body + payload)

    def answer(self, kind, packet_id):
        self.send(kind, 2 if kind == PUBREL else 0, struct.pack("!H", packet_id))

    def subscribe(self, filter, qos=0, packet_id=1):
        body = struct.pack("!H", packet_id) + (b"\0" if self.version == 5 else b"")
        self.send(SUBSCRIBE, 2, body + text(filter) + bytes([qos]))
        answer = self.read()
        assert answer.kind == SUBACK and answer.body[-1] == qos, f"SUBACK with QoS {qos} expected, got {answer}"

    def disconnect(self):
        """Says goodbye and waits until the broker has heard it: two connections have no order between them."""
        self.send(DISCONNECT)
        with contextlib.suppress(OSError):
            self.socket.settimeout(5)
            while self.socket.recv(65536):
                pass
        self.close()

    def publication(self, packet):
        """What a PUBLISH says."""
        length = struct.unpack_from("!H", packet.body)[0]
        topic, at = packet.body[2 : 2 + length].decode(), 2 + length
        qos, packet_id = packet.flags >> 1 & 3, 0
        if qos:
            packet_id = struct.unpack_from("!H", packet.body, at)[0]
            at += 2
        if self.version == 5:
            properties, shift = 0, 0
            while True:
                byte = packet.body[at]
                at, properties, shift = at + 1, properties | (byte & 0x7F) << shift, shift + 7
                if not byte & 0x80:
                    break
            at += properties
        return Publication(topic, packet.body[at:], qos, packet.flags & 1, packet.flags >> 3 & 1, packet_id)


def packet_id_of(packet):
    return struct.unpack_from("!H", packet.body)[0]

"""The two sides of a round: strangers that say what its script tells them, and canaries that must not notice."""

import collections
import errno
import itertools
import select
import socket
import struct
import time
import zlib

from fuzz.mutations import split
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Wire, packet_id_of

UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
UPGRADE_TO_DEFLATE = UPGRADE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
PROXY_HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.1 5544 1883\r\n"


def compressed(data):
    """The payload of a message of permessage-deflate."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frame(data, mask=b"\x12\x34\x56\x78", first=0x82):
    """One frame of a WebSocket client."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = b"\xfe" + struct.pack("!H", size)
    else:
        length = b"\xff" + struct.pack("!Q", size)
    return bytes([first]) + length + mask + bytes(byte ^ mask[index & 3] for index, byte in enumerate(data))


class Stranger:
    """A socket that waits for hardly anything: what cannot be sent now is lost, as from a client that died meanwhile.

    When it listens, it answers what MQTT wants answered, so that deliveries go beyond their first packet.
    """

    patience = 0.01

    def __init__(self, port, is_web):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setblocking(False)
        self.is_web, self.is_upgraded = is_web, False
        self.received = bytearray()
        self.heard = collections.Counter()

    def say(self, data):
        if self.socket is None:
            return
        try:
            self.socket.send(data)
        except OSError:
            self.leave()

    def listen(self):
        if self.socket is None:
            return
        select.select([self.socket], [], [], self.patience)
        while self.socket is not None:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                return self.leave()
            if not data:
                return self.leave()
            self.received += data
        self._answer()

    def _answer(self):
        if self.is_web and not self.is_upgraded:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            self.heard[bytes(self.received[9:12]).decode("latin-1")] += 1
            self.is_upgraded = self.received.startswith(b"HTTP/1.1 101")
            del self.received[: end + 4]
        while packet := self._packet():
            kind = packet[0] >> 4
            self.heard[kind] += 1
            if kind == PUBLISH and packet[0] & 6:
                at = 2 + struct.unpack_from("!H", packet, 1)[0] + 1
                self._reply(PUBACK if packet[0] & 2 else PUBREC, packet[at : at + 2])
            elif kind in (PUBREC, PUBREL):
                self._reply(kind + 1, packet[1:3])

    def _reply(self, kind, packet_id):
        data = bytes([kind << 4 | (2 if kind == PUBREL else 0), 2]) + packet_id
        self.say(frame(data) if self.is_web else data)

    def _packet(self):
        """The next one without its length, or None; a frame of a server is taken off as if it held one packet."""
        data = self.received
        if self.is_web:
            if not self.is_upgraded or len(data) < 2:
                return None
            head, size = 2, data[1]
            if size == 126 and len(data) >= 4:
                head, size = 4, struct.unpack_from("!H", data, 2)[0]
            elif size == 127 and len(data) >= 10:
                head, size = 10, struct.unpack_from("!Q", data, 2)[0]
            if len(data) < head + size:
                return None
            packet, is_message = bytes(data[head : head + size]), data[0] == 0x82
            del data[: head + size]
            return b"".join(split(packet)) if is_message and packet else bytes([0])
        length, shift, at = 0, 0, 1
        while True:
            if at >= len(data):
                return None
            length |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 0x80:
                break
        if len(data) < at + length:
            return None
        packet = bytes(data[:1] + data[at : at + length])
        del data[: at + length]
        return packet

    def hush(self):
        """Says no more, but stays."""
        if self.socket is not None:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise

    def leave(self, abruptly=False):
        if self.socket is not None:
            if abruptly:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
            self.socket = None


class Canaries:
    """A pair for each version. They stay connected all the time, and everything that one says the other hears once."""

    patience = 15

    def __init__(self, port):
        self.pairs = [
            (Wire(port, f"canary-{version}-out", version, clean=True), self._reader(port, version))
            for version in (4, 5)
        ]
        self.numbers = itertools.count(1)
        self.slowest = 0.0

    @staticmethod
    def _reader(port, version):
        reader = Wire(port, f"canary-{version}-in", version, clean=True)
        reader.subscribe(f"canary/{version}", 2)
        return reader

    def sing(self):
        for writer, reader in self.pairs:
            for qos in (1, 2):
                began = time.monotonic()
                number = next(self.numbers)
                self._conversation(writer, reader, qos, str(number).encode(), number % 65535 + 1)
                self.slowest = max(self.slowest, time.monotonic() - began)

    def _conversation(self, writer, reader, qos, payload, packet_id):
        topic = f"canary/{writer.version}"
        writer.publish(topic, payload, qos, packet_id)
        self._expect(writer, PUBACK if qos == 1 else PUBREC, packet_id)
        if qos == 2:
            writer.answer(PUBREL, packet_id)
            self._expect(writer, PUBCOMP, packet_id)
        packet = reader.read(self.patience)
        assert packet.kind == PUBLISH, f"a PUBLISH expected, got {packet}"
        publication = reader.publication(packet)
        assert publication[:3] == (topic, payload, qos), f"{payload} expected at QoS {qos}, got {publication}"
        reader.answer(PUBACK if qos == 1 else PUBREC, publication.packet_id)
        if qos == 2:
            self._expect(reader, PUBREL, publication.packet_id)
            reader.answer(PUBCOMP, publication.packet_id)

    def _expect(self, wire, kind, packet_id):
        packet = wire.read(self.patience)
        assert packet.kind == kind and packet_id_of(packet) == packet_id, f"{kind}, {packet_id} expected, got {packet}"
        # A version 5 reason: 0x10 means that nobody subscribes, which is a lost subscription.
        assert len(packet.body) == 2 or packet.body[2] == 0, f"refused: {packet}"

    def close(self):
        for pair in self.pairs:
            for wire in pair:
                wire.close()


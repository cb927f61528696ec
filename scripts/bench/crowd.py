"""What 200,000 subscriptions do to a publish that matches one of them: CPU of the broker per message beside that of the
same messages where the one subscription is the only one.

Plain sockets and bytes made beforehand: a load generator has no use for so many filters. Messages go out in batches of
500, each when the one before has come, so that both brokers write as much at once."""

import dataclasses
import socket
import struct

from brokers import Broker
from rows import Faulty

SESSIONS = 200
FILTERS_EACH = 1_000
#: Of the 1,000; the others have no wildcard.
WILDCARDS_EACH = 50
MESSAGES = 100_000
BATCH = 500
PAYLOAD = b"x" * 64
#: At most this many times the cost in an empty broker.
BAR = 2


@dataclasses.dataclass
class Crowd:
    broker: str
    #: "one topic" or "a new topic each time".
    topics: str
    #: CPU µs per message.
    alone: float
    crowded: float

    @property
    def ratio(self) -> float:
        return self.crowded / self.alone


def measure(name: str, programs) -> list[Crowd]:
    costs = {}
    for crowded in (False, True):
        with Broker(name, programs) as broker:
            port = broker.ports["tcp"]
            others = [subscriber(port, session) for session in range(1, SESSIONS)] if crowded else []
            listener = connect(port, "listener")
            subscribe(listener, filters(0) if crowded else ["plant/0/+/3/alarm"])
            publisher = connect(port, "publisher")
            for topics in ("one topic", "a new topic each time"):
                costs[topics, crowded] = cost(broker, publisher, listener, topics)
            for client in [*others, listener, publisher]:
                client.close()
    kinds = dict.fromkeys(topics for topics, _ in costs)
    return [Crowd(name, topics, costs[topics, False], costs[topics, True]) for topics in kinds]


def filters(session: int) -> list[str]:
    wild = [f"plant/{session}/+/{number}/alarm" for number in range(WILDCARDS_EACH)]
    return wild + [f"plant/{session}/line/{number}/value" for number in range(FILTERS_EACH - WILDCARDS_EACH)]


def cost(broker: Broker, publisher: socket.socket, listener: socket.socket, topics: str) -> float:
    batches, size = [], 0
    for start in range(0, MESSAGES, BATCH):
        # All names are equally long, so that what is delivered can be counted in bytes.
        lines = ["000000" if topics == "one topic" else f"{number:06}" for number in range(start, start + BATCH)]
        packets = [publish(f"plant/0/{line}/3/alarm") for line in lines]
        size = len(packets[0])
        batches.append(b"".join(packets))
    for batch in batches[:20]:
        exchange(publisher, listener, batch)
    before = broker.cpu_seconds()
    for batch in batches[20:]:
        exchange(publisher, listener, batch)
    messages = sum(len(batch) for batch in batches[20:]) / size
    return (broker.cpu_seconds() - before) / messages * 1e6


def exchange(publisher: socket.socket, listener: socket.socket, batch: bytes):
    publisher.sendall(batch)
    rest = len(batch)
    while rest > 0:
        read = len(listener.recv(1 << 20))
        if read == 0:
            raise Faulty("the broker closed the connection")
        rest -= read


# MQTT 3.1.1, as much as is needed.


def packet(first: int, body: bytes) -> bytes:
    length, rest = b"", len(body)
    while True:
        rest, digit = rest >> 7, rest & 0x7F
        length += bytes([digit | (0x80 if rest else 0)])
        if not rest:
            return bytes([first]) + length + body


def text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def publish(topic: str) -> bytes:
    return packet(0x30, text(topic) + PAYLOAD)


def connect(port: int, client_id: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(packet(0x10, text("MQTT") + bytes([4, 2, 0, 0]) + text(client_id)))
    expect(client, b"\x20\x02\x00\x00")
    return client


def subscriber(port: int, session: int) -> socket.socket:
    client = connect(port, f"crowd{session}")
    subscribe(client, filters(session))
    return client


def subscribe(client: socket.socket, filters: list[str]):
    client.sendall(packet(0x82, b"\x00\x01" + b"".join(text(name) + b"\x00" for name in filters)))
    expect(client, packet(0x90, b"\x00\x01" + bytes(len(filters))))


def expect(client: socket.socket, wanted: bytes):
    heard = b""
    while len(heard) < len(wanted):
        more = client.recv(len(wanted) - len(heard))
        if not more:
            break
        heard += more
    if heard != wanted:
        raise Faulty(f"{heard[:20].hex()} instead of {wanted[:20].hex()}")

"""Clients of the campaign: each keeps the standard over any number of broken connections, and a record of what it saw.

They share one thread: `receive` takes a packet that came, `act` does something of their own accord.
"""

import collections
import struct

from wire import (
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    Gone,
    Wire,
    packet_id_of,
    text,
)

UNSUBSCRIBE, UNSUBACK = 10, 11


class Finding(Exception):
    """A promise is broken."""


class Actor:
    """A client with a durable session. `wire` is None while it is away."""

    def __init__(self, port, name, version):
        self.port, self.name, self.version = port, name, version
        self.wire, self.has_session = None, False
        self.next_id = 0

    def connect(self):
        self.wire = None
        wire = Wire(self.port, self.name, self.version)
        self.wire = wire
        if self.has_session and not wire.session_present:
            raise Finding(f"the session of {self.name} is lost")
        self.has_session = True

    def leave(self):
        """Without a DISCONNECT for odd reasons: most clients at an edge lose their line."""
        if self.wire:
            self.wire.close()
        self.wire = None

    def pump(self):
        """Answers all that is here; false when the connection ended."""
        try:
            while self.wire and (packet := self.wire.next_packet()):
                if packet.kind == DISCONNECT:
                    raise Finding(f"{self.name} was sent away: {packet.body.hex()}")
                self.receive(packet)
            return True
        except Gone:
            self.leave()
            return False

    def new_id(self, used):
        while True:
            self.next_id = self.next_id % 65535 + 1
            if self.next_id not in used:
                return self.next_id


class Publisher(Actor):
    """Sends numbered messages with a window, and again, in order, what was not answered when a connection ended."""

    def __init__(self, port, name, version, qos, dice, topics, retain=False, window=16):
        super().__init__(port, name, version)
        self.qos, self.dice, self.topics, self.retain, self.window = qos, dice, topics, retain, window
        self.number = 0
        self.open = {}  # packet id -> [number, topic, payload, is released]; in order of sending
        self.acknowledged = set()
        self.sent = collections.defaultdict(list)  # topic -> [(number, payload)], for retained messages
        self.resent = self.refused = 0
        self.may_be_refused = False

    def connect(self):
        super().connect()
        # [3.1.1, 5: MQTT-4.4.0-1] what was not answered is sent again, with its identifier and in order.
        for packet_id, (_, topic, payload, is_released) in self.open.items():
            self.resent += 1
            if is_released:
                self.wire.answer(PUBREL, packet_id)
            else:
                self.wire.publish(topic, payload, self.qos, packet_id, retain=self.retain, dup=True)

    def act(self, burst=8):
        while self.wire and burst and len(self.open) < self.window:
            burst -= 1
            self.number += 1
            topic = self.topics[self.number % len(self.topics)]
            padding = self.dice.choice([0, 10, 100, 100, 400, 6000])
            payload = f"{self.name} {self.number} ".encode() + b"x" * padding
            if self.retain and self.dice.random() < 0.1:
                payload = b""
            packet_id = self.new_id(self.open)
            self.open[packet_id] = [self.number, topic, payload, False]
            self.sent[topic].append((self.number, payload))
            self.wire.publish(topic, payload, self.qos, packet_id, retain=self.retain)

    def receive(self, packet):
        if packet.kind not in (PUBACK, PUBREC, PUBCOMP):
            raise Finding(f"{self.name} got an unexpected {packet}")
        packet_id = packet_id_of(packet)
        reason = packet.body[2] if len(packet.body) > 2 else 0
        entry = self.open.get(packet_id)
        if reason == 0x97 and self.may_be_refused and packet.kind != PUBCOMP:
            # It is ours again, and not sent again here: it may arrive or not.
            self.refused += 1
            self.open.pop(packet_id, None)
            return
        # PUBCOMP 0x92: the first PUBREL did arrive, which "is not an error during recovery" (5: 3.7.2.1).
        if reason >= 0x80 and not (packet.kind == PUBCOMP and reason == 0x92):
            raise Finding(f"{self.name}: answer 0x{reason:02x} in packet type {packet.kind}")
        if packet.kind == PUBACK or packet.kind == PUBREC:
            if entry is None:
                raise Finding(f"{self.name}: an answer to {packet_id}, which is not open")
            self.acknowledged.add(entry[0])
        if packet.kind == PUBREC:
            entry[3] = True
            self.wire.answer(PUBREL, packet_id)
        else:
            self.open.pop(packet_id, None)


class Subscriber(Actor):
    """Takes messages, comes and goes, and lets some wait for their acknowledgement."""

    def __init__(self, port, name, version, qos, dice, filter, is_slow=False):
        super().__init__(port, name, version)
        self.qos, self.dice, self.filter, self.is_slow = qos, dice, filter, is_slow
        self.unreleased, self.owed = set(), collections.deque()
        self.arrived = collections.defaultdict(list)  # publisher -> [(number, qos)]

    def connect(self):
        self.owed.clear()
        super().connect()

    def subscribe(self):
        self.connect()
        self.wire.subscribe(self.filter, self.qos)

    def act(self):
        """A slow one answers late."""
        for _ in range(self.dice.randint(0, len(self.owed)) if self.is_slow else len(self.owed)):
            self.wire.answer(*self.owed.popleft())

    def receive(self, packet):
        if packet.kind == PUBLISH:
            publication = self.wire.publication(packet)
            if publication.qos < 2:
                self.keep(publication)
                if publication.qos:
                    self.owed.append((PUBACK, publication.packet_id))
            else:
                if publication.packet_id not in self.unreleased:
                    self.unreleased.add(publication.packet_id)
                    self.keep(publication)
                self.owed.append((PUBREC, publication.packet_id))
        elif packet.kind == PUBREL:
            self.unreleased.discard(packet_id_of(packet))
            self.owed.append((PUBCOMP, packet_id_of(packet)))
        else:
            raise Finding(f"{self.name} got an unexpected {packet}")
        if not self.is_slow:
            self.act()

    def keep(self, publication):
        publisher, number = publication.payload.split(b" ", 2)[:2]
        self.arrived[publisher.decode()].append((int(number), publication.qos))


class Fickle(Actor):
    """Subscribes and takes back, one filter at a time, and knows what it was told of each."""

    FILTERS = 8

    def __init__(self, port, name, version, dice):
        super().__init__(port, name, version)
        self.dice = dice
        self.state = {f"fickle/{name}/{index}": False for index in range(self.FILTERS)}
        self.asked = {}  # packet id -> (filter, wanted)
        self.probed, self.changes = collections.Counter(), 0

    def connect(self):
        # What was asked and not answered may have become true or not.
        for filter, _ in self.asked.values():
            self.state[filter] = None
        self.asked.clear()
        super().connect()

    def act(self):
        if not self.wire or len(self.asked) >= 2:
            return
        busy = {filter for filter, _ in self.asked.values()}
        filter = self.dice.choice([filter for filter in self.state if filter not in busy])
        wanted, packet_id = not self.state[filter], self.new_id(self.asked)
        self.asked[packet_id] = (filter, wanted)
        self.state[filter] = None
        body = struct.pack("!H", packet_id) + (b"\0" if self.version == 5 else b"") + text(filter)
        self.wire.send(SUBSCRIBE if wanted else UNSUBSCRIBE, 2, body + (b"\1" if wanted else b""))

    def receive(self, packet):
        if packet.kind == PUBLISH:
            publication = self.wire.publication(packet)
            self.probed[publication.payload.decode()] += 1
            self.wire.answer(PUBACK, publication.packet_id)
            return
        if packet.kind not in (SUBACK, UNSUBACK):
            raise Finding(f"{self.name} got an unexpected {packet}")
        filter, wanted = self.asked.pop(packet_id_of(packet))
        if packet.kind == SUBACK and packet.body[-1] != 1:
            raise Finding(f"{self.name}: SUBACK {packet.body.hex()}")
        self.state[filter] = wanted
        self.changes += 1

"""Who disturbed the order: what crosses the line between a node and a broker of others, as far as order goes.

A broker takes messages in the order in which it acknowledges them, and passes them on in the order in which it sends them.
When the first is right and the second is not, it was that broker, and nobody else.
"""

import collections
import struct

PUBLISH, PUBACK, PUBREC = 3, 4, 5


class Packets:
    """Control packets out of one direction of one connection, cut anyhow."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= 2:
            length, at, shift = 0, 1, 0
            while at < len(self.buffer) and at < 5:
                byte = self.buffer[at]
                length |= (byte & 127) << shift
                at, shift = at + 1, shift + 7
                if byte < 128:
                    break
            else:
                return
            if len(self.buffer) < at + length:
                return
            yield self.buffer[0] >> 4, self.buffer[0] & 15, bytes(self.buffer[at : at + length])
            del self.buffer[: at + length]


class Witness:
    """Of one line. `taken` and `given` name, for each publisher, numbers in the order in which the far end acknowledged
    and sent them, each once."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.taken = collections.defaultdict(dict)
        self.given = collections.defaultdict(dict)

    def connection(self):
        """Watches one connection: a function for each direction, there and back."""
        there, back, open_messages = Packets(), Packets(), {}

        def goes(data):
            for kind, flags, body in there.feed(data):
                if kind == PUBLISH and flags & 6 and (message := self.message(body)):
                    length = struct.unpack("!H", body[:2])[0]
                    open_messages[body[2 + length : 4 + length]] = message

        def comes(data):
            for kind, _, body in back.feed(data):
                if kind in (PUBACK, PUBREC) and (message := open_messages.pop(body[:2], None)):
                    self.taken[message[0]].setdefault(message[1])
                elif kind == PUBLISH and (message := self.message(body)):
                    self.given[message[0]].setdefault(message[1])

        return goes, comes

    @staticmethod
    def message(body):
        """(publisher, number), which every payload of the campaigns begins with, behind topic, identifier, properties."""
        length = struct.unpack("!H", body[:2])[0]
        topic = body[2 : 2 + length].decode(errors="replace").split("/")
        if len(topic) < 2:
            return None
        name = topic[1]
        at = body.find(name.encode() + b" ", 2 + length)
        if at < 0:
            return None
        number = body[at + len(name) + 1 :].split(b" ", 1)[0]
        return (name, int(number)) if number.isdigit() else None


def is_innocent(name, entry, exit):
    """Whether what `name` published went in over the line of `entry` in order and came out of that of `exit` in another."""
    taken, given = list(entry.taken[name]), list(exit.given[name])
    return taken == sorted(taken) and given != sorted(given)

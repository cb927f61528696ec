"""Packets as clients send them, of all kinds and versions, from small pools so that connections meet each other."""

import struct

from wire import text, variable_length

CLIENT_IDS = ["", "ann", "bob", "cyd", "ann/1", "x" * 23, "x" * 200, "grüße"]
TOPICS = ["a", "a/b", "a/b/c", "/", "b//c", "grüße/世界", "t" * 300, "/".join("abcdefgh")]
FILTERS = TOPICS + ["#", "+", "a/#", "+/b/+", "/+", "$SYS/#", "$share/g/a/#", "$share/h/+/b", "$share/g/#"]
PACKET_IDS = [1, 2, 3, 255, 256, 65535]
LENGTHS = [0, 1, 2, 10, 127, 128, 1000, 16384, 70000]


class Packets:
    """Makes packets of one version; `random` decides everything."""

    def __init__(self, random, version):
        self.random, self.version = random, version

    def one(self):
        # What ends a connection is rare, or nothing would go deep.
        kinds = [self.publish] * 30 + [self.subscribe] * 15 + [self.acknowledgement] * 12 + [self.ping] * 4
        kinds += [self.unsubscribe] * 6 + [self.disconnect, self.connect, self.authentication, self.of_a_server]
        return self.random.choice(kinds)()

    def connect(self):
        random, version = self.random, self.version
        name = "MQIsdp" if version == 3 else "MQTT"
        has_will, qos = random.random() < 0.4, random.randrange(3)
        flags = random.randrange(2) << 1
        body = b""
        if has_will:
            flags |= 4 | qos << 3 | random.randrange(2) << 5
            body += self.properties(
                [self.integer(0x18, 4, [0, 1, 5]), *self.of_message()]
            ) + text(random.choice(TOPICS)) + text(self.payload())
        if random.random() < 0.2:
            flags |= 0x80
            body += text("ann")
            if random.random() < 0.7:
                flags |= 0x40
                body += text("secret")
        keep_alive = random.choice([0, 0, 1, 60, 65535])
        properties = self.properties(
            [
                self.integer(0x11, 4, [0, 1, 3600, 0xFFFFFFFF]),
                self.integer(0x21, 2, [1, 2, 20, 65535]),
                self.integer(0x27, 4, [64, 1000, 100000, 0xFFFFFFFF]),
                self.integer(0x22, 2, [0, 1, 10, 65535]),
                self.integer(0x19, 1, [0, 1]),
                self.integer(0x17, 1, [0, 1]),
                self.user_property(),
                b"\x15" + text("SCRAM-SHA-256") + b"\x16" + text("n,,n=ann,r=abc"),
            ]
        )
        client_id = random.choice(CLIENT_IDS)
        if client_id == "" and version < 5 and random.random() < 0.8:
            flags |= 2
        head = text(name) + bytes([version, flags]) + struct.pack("!H", keep_alive)
        return self.packet(1, 0, head + properties + text(client_id) + body)

    def publish(self):
        random, qos = self.random, self.random.randrange(3)
        flags = random.randrange(2) << 3 | qos << 1 | random.randrange(2)
        topic = random.choice(TOPICS)
        more = self.of_message() + [self.integer(0x23, 2, [1, 2, 10, 11])]
        if self.version == 5 and random.random() < 0.05:
            topic = ""  # an alias says it, perhaps
        identifier = self.packet_id() if qos else b""
        body = text(topic) + identifier + self.properties(more) + self.payload()
        return self.packet(3, flags if qos else flags & 7, body)

    def subscribe(self):
        random = self.random
        body = b""
        for _ in range(random.choice([1, 1, 1, 2, 10])):
            options = random.randrange(3)
            if self.version == 5:
                options |= random.randrange(3) << 4 | random.randrange(4) << 2
            body += text(random.choice(FILTERS)) + bytes([options])
        identifier = b"\x0b" + variable_length(random.choice([1, 127, 128, 268435455]))
        return self.packet(8, 2, self.packet_id() + self.properties([identifier, self.user_property()]) + body)

    def unsubscribe(self):
        filters = b"".join(text(self.random.choice(FILTERS)) for _ in range(self.random.choice([1, 1, 3])))
        return self.packet(10, 2, self.packet_id() + self.properties([self.user_property()]) + filters)

    def acknowledgement(self):
        kind = self.random.choice([4, 5, 6, 7])
        return self.packet(kind, 2 if kind == 6 else 0, self.packet_id() + self.reason([0, 0x10, 0x80, 0x92, 0x97]))

    def ping(self):
        return self.packet(12, 0, b"")

    def disconnect(self):
        return self.packet(14, 0, self.reason([0, 4, 0x80, 0x81, 0x93], [self.integer(0x11, 4, [0, 1, 3600])]))

    def authentication(self):
        method, data = b"\x15" + text("SCRAM-SHA-256"), b"\x16" + text("x")
        return self.packet(15, 0, self.reason([0, 0x18, 0x19], [method, data]))

    def of_a_server(self):
        """What only a server may say."""
        body = self.random.choice([b"", b"\0\0", b"\0\1\0", b"\0\0\0"])
        return self.packet(self.random.choice([0, 2, 9, 11, 13]), 0, body)

    # Parts

    def packet(self, kind, flags, body):
        return bytes([kind << 4 | flags]) + variable_length(len(body)) + body

    def packet_id(self):
        return struct.pack("!H", self.random.choice(PACKET_IDS))

    def payload(self):
        return self.random.choice([b"x", bytes([0xFF]), "ü".encode()]) * self.random.choice(LENGTHS[:-2] + LENGTHS[:-4])

    def properties(self, choices):
        if self.version < 5:
            return b""
        chosen = b"".join(choice for choice in choices if self.random.random() < 0.15)
        return variable_length(len(chosen)) + chosen

    def of_message(self):
        return [
            self.integer(0x01, 1, [0, 1]),
            self.integer(0x02, 4, [0, 1, 100, 0xFFFFFFFF]),
            b"\x03" + text("text/plain"),
            b"\x08" + text(self.random.choice(TOPICS)),
            b"\x09" + text("correlation"),
            self.user_property(),
        ]

    def reason(self, codes, properties=()):
        if self.version < 5 or self.random.random() < 0.4:
            return b""
        code = bytes([self.random.choice(codes)])
        if self.random.random() < 0.5:
            return code
        return code + self.properties([b"\x1f" + text("because"), self.user_property(), *properties])

    def integer(self, identifier, size, values):
        return bytes([identifier]) + self.random.choice(values).to_bytes(size, "big")

    def user_property(self):
        return b"\x26" + text(self.random.choice(["k", "key"])) + text("v" * self.random.choice([0, 1, 500]))

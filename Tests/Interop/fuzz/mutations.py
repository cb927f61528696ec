"""What a fuzzer does to valid bytes."""

from wire import variable_length

# Bounds of numbers, text that is no UTF-8, and what means something in a filter.
INTERESTING = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff"]
INTERESTING += [b"\xc0\x80", b"\xed\xa0\x80", b"#", b"+", b"$"]


def split(packet):
    """First byte and body; the length between them is left out."""
    at = 1
    while at < len(packet) - 1 and packet[at] & 0x80:
        at += 1
    return packet[:1], packet[at + 1 :]


def mutate_bytes(random, data):
    data = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 5])):
        at = random.randrange(len(data) + 1)
        to = min(len(data), at + random.choice([1, 2, 4, 20]))
        what = random.randrange(6)
        if what == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif what == 1 and at < len(data):
            data[at] = random.randrange(256)
        elif what == 2:
            del data[at:to]
        elif what == 3:
            data[at:at] = data[at:to] * random.choice([1, 2, 10])
        elif what == 4:
            data[at:at] = random.choice(INTERESTING)
        else:
            data[at:to] = random.choice(INTERESTING)
    return bytes(data)


def mutate_packet(random, packet, other):
    """A packet that is wrong, or surprising. Most keep a right length, or nothing would be read behind it."""
    what = random.randrange(8)
    first, body = split(packet)
    if what < 4:
        body = mutate_bytes(random, body)
        return first + variable_length(len(body)) + body
    if what == 4:
        return bytes([random.randrange(256)]) + packet[1:]
    if what == 5:
        body = body[: random.randrange(len(body) + 1)] + split(other)[1][: random.choice([0, 2, 10, 100])]
        return first + variable_length(len(body)) + body
    if what == 6:
        return packet[: random.randrange(len(packet) + 1)]
    return mutate_bytes(random, packet)

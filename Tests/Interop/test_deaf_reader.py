"""Does a subscriber that reads nothing harm anybody else, when much more is published at it than memory may hold?"""

import multiprocessing
import socket
import time

import pytest

from eventually import eventually
from wire import PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Wire, packet_id_of

PAYLOAD = 64 * 1024
COUNT = 200_000_000 // PAYLOAD
# What the configuration lets a session hold in memory and a connection leave unsent.
QUEUE, WRITE_BUFFER = 8 << 20, 1 << 20
# What anybody's reading and storing takes, deaf reader or not: packets on their way in, SQLite's cache, the allocator.
REST = 48 << 20
BOUNDS = """
[limits]
write_buffer = "1MiB"
[queue]
max_bytes = "8MiB"
[log]
level = "warning"
"""


def flood(port, topic, qos, count, version):
    """In a process of its own, so that it does not slow down whoever measures."""
    with Wire(port, "flood", version, clean=True) as wire:
        payload, unanswered = b"x" * PAYLOAD, 0
        for number in range(count):
            wire.publish(topic, payload, qos, number % 65535 + 1 if qos else 0)
            unanswered += 1 if qos else 0
            while unanswered >= 16:
                assert wire.read(60).kind == PUBACK
                unanswered -= 1
        while unanswered:
            assert wire.read(60).kind == PUBACK
            unanswered -= 1
        wire.send(PINGREQ)  # what was sent before has been read when its answer is here
        assert wire.read(60).kind == PINGRESP


def memory(node, kind="VmRSS"):
    with open(f"/proc/{node.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{kind}:"))


class Canary:
    """Two clients of nothing else; how long a message takes between them is what others notice."""

    def __init__(self, node):
        self.node = node
        self.reader = Wire(node.port, "canary-in", 4, clean=True)
        self.reader.subscribe("canary", 0)
        self.writer = Wire(node.port, "canary-out", 4, clean=True)

    def measure(self, process):
        """The latencies until that process ends, and the most memory meanwhile."""
        latencies, most = [], 0
        while process.is_alive():
            began = time.monotonic()
            self.writer.publish("canary", b"tweet")
            assert self.reader.read(30).kind == PUBLISH
            latencies.append(time.monotonic() - began)
            most = max(most, memory(self.node))
            process.join(0.005)
        assert process.exitcode == 0, "the publisher failed"
        return sorted(latencies), most

    def close(self):
        self.reader.close()
        self.writer.close()


def deaf(port, qos, clean, version):
    """Subscribes, and never reads again. Its receive buffer is small, so that the system does not listen for it."""
    wire = Wire(port, "deaf", version, clean=clean)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    wire.subscribe("flood", qos)
    return wire


def late(latencies):
    """What one message in a hundred takes at least. The very slowest is as often this machine's doing as the broker's."""
    return latencies[len(latencies) * 99 // 100]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("clean", [True, False], ids=["for now", "durable"])
@pytest.mark.parametrize("qos", [0, 1])
def test_memory_stays_bounded_and_nobody_else_waits(brokers, qos, clean, version):
    node = brokers.drawbridge(more=BOUNDS).start()
    spawn = multiprocessing.get_context("spawn")
    canary = Canary(node)

    def run(topic):
        process = spawn.Process(target=flood, args=(node.port, topic, qos, COUNT, version))
        process.start()
        return canary.measure(process)

    # The same load, at nobody, says what is the load's doing.
    usual, usual_memory = run("nobody/here")
    with deaf(node.port, qos, clean, version):
        before, tries = memory(node), []
        # A busy machine delays somebody now and then; a broker that waits for the deaf would do so each time.
        while not tries or (min(tries) - late(usual) >= 0.05 and len(tries) < 3):
            latencies, most = run("flood")
            tries.append(late(latencies))
            measured = (
                f"memory {before >> 20} MiB, most {most >> 20} MiB, without it {usual_memory >> 20} MiB; "
                f"99% {late(usual):.4f} s, with it {tries} s; {len(latencies)} tweets"
            )
            print(measured)
            assert most < before + QUEUE + WRITE_BUFFER + REST, measured
        assert min(tries) - late(usual) < 0.05, measured
    canary.close()


@pytest.mark.parametrize("qos", [1, 2])
def test_who_listens_again_gets_what_the_bounds_kept_in_order(brokers, qos):
    """Nothing is stuck behind the deaf time: what was in flight comes first, then the newest that fit."""
    node = brokers.drawbridge(more=BOUNDS).start()
    with deaf(node.port, qos, False, 5) as reader:
        with Wire(node.port, "writer", 5, clean=True) as writer:
            for number in range(400):
                writer.publish("flood", number.to_bytes(4, "big") + b"x" * PAYLOAD, qos, number + 1)
                assert writer.read(60).kind == (PUBACK if qos == 1 else PUBREC)
                if qos == 2:
                    writer.answer(PUBREL, number + 1)
                    assert writer.read(60).kind == PUBCOMP
        numbers = []

        def hears_the_last():
            packet = reader.read(30)
            if packet.kind == PUBLISH:
                publication = reader.publication(packet)
                reader.answer(PUBACK if qos == 1 else PUBREC, publication.packet_id)
                numbers.append(int.from_bytes(publication.payload[:4], "big"))
            elif packet.kind == PUBREL:
                reader.answer(PUBCOMP, packet_id_of(packet))
            return numbers and numbers[-1] == 399

        eventually(lambda: f"the last one arrives; {numbers}", hears_the_last, 60)
        assert numbers == sorted(set(numbers)), "in order, each once"
        assert numbers[0] == 0, "what was in flight is not dropped"
        assert len(numbers) >= (QUEUE - (1 << 20)) // PAYLOAD


@pytest.mark.parametrize("version", [4, 5])
def test_a_large_message_is_in_memory_once_for_all_who_get_it(brokers, version):
    node = brokers.drawbridge(more='[log]\nlevel = "warning"\n').start()
    payload, readers = bytes(range(250)) * 3600, []
    for number in range(100):
        readers.append(Wire(node.port, f"slow{number}", version, clean=True))
        readers[-1].subscribe("big", number % 3)
    before = memory(node)
    with Wire(node.port, "writer", version, clean=True) as writer:
        writer.publish("big", payload, 1, 1)
        assert writer.read(60).kind == PUBACK
    grown = memory(node, "VmHWM") - before
    for number, reader in enumerate(readers):
        publication = reader.publication(reader.read(60))
        assert publication.payload == payload, f"reader {number}"
        reader.close()
    assert grown < 20 << 20, f"{grown >> 20} MiB for one message of {len(payload) >> 10} KiB to {len(readers)} readers"

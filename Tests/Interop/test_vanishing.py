"""Peers that send much and are gone before it is read: what is left of it is read when a write to them fails, in the middle
of what others are being sent. Nobody may get anything twice, or nothing."""

import contextlib
import random
import socket
import struct
import threading
import time

from wire import PUBACK, PUBLISH, Gone, Wire, packet_id_of

SECONDS = 5
WINDOW = 8
AHEAD = 100  # of the listener, so that nothing is dropped from its queue


class Listener(threading.Thread):
    """Reads the numbers that are rung."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.wire = Wire(port, "listener", 4, clean=True)
        self.wire.subscribe("bell", 1)
        self.numbers, self.stops = [], False

    def run(self):
        while not self.stops:
            self.wire.fill(0.2)
            while packet := self.wire.next_packet():
                if packet.kind == PUBLISH:
                    publication = self.wire.publication(packet)
                    self.numbers.append(int(publication.payload))
                    self.wire.answer(PUBACK, publication.packet_id)


def flood(port, name, ended):
    """So that the broker always has something to read before it comes to those who vanish."""
    with Wire(port, name, 4, clean=True) as wire, contextlib.suppress(Gone):
        while not ended.is_set():
            for _ in range(60):
                wire.publish("nowhere", bytes(1_000))


def vanish(port, name, ended):
    """Four at a time listen to the bell, send much, and break their lines."""
    for attempt in range(1_000_000):
        if ended.is_set():
            return
        wires = [Wire(port, f"{name} {attempt} {number}", 4, clean=True) for number in range(4)]
        for wire in wires:
            wire.subscribe("bell")
            for _ in range(30):  # until the system gives the connection large buffers
                wire.publish("nowhere", bytes(60_000))
        time.sleep(random.random() * 0.02)
        for wire in wires:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.socket.setblocking(False)
            with contextlib.suppress(Gone):
                for _ in range(10):
                    wire.publish("nowhere", bytes(60_000))
            wire.close()


def test_everybody_else_gets_everything_once(drawbridge):
    """A broker that performs its orders again when it reads in the middle of them fails within a second."""
    ended = threading.Event()
    threads = [threading.Thread(target=flood, args=(drawbridge.port, f"flood {n}", ended)) for n in range(6)]
    threads += [threading.Thread(target=vanish, args=(drawbridge.port, f"vanishing {n}", ended)) for n in range(2)]
    listener = Listener(drawbridge.port)
    listener.start()
    ringer = Wire(drawbridge.port, "ringer", 4, clean=True)
    for thread in threads:
        thread.start()
    try:
        sent, unanswered, end = 0, set(), time.monotonic() + SECONDS
        while unanswered or time.monotonic() < end:
            while len(unanswered) < WINDOW and time.monotonic() < end and sent < len(listener.numbers) + AHEAD:
                sent += 1
                unanswered.add(sent % 65_535 + 1)
                ringer.publish("bell", str(sent).encode(), 1, sent % 65_535 + 1)
            if not unanswered:
                time.sleep(0.001)
                continue
            answer = ringer.read()
            assert answer.kind == PUBACK
            assert packet_id_of(answer) in unanswered, f"{packet_id_of(answer)} was answered twice"
            unanswered.remove(packet_id_of(answer))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    deadline = time.monotonic() + 10
    while len(listener.numbers) < sent and time.monotonic() < deadline:
        time.sleep(0.05)
    listener.stops = True
    listener.join()
    assert listener.numbers == list(range(1, sent + 1))


def test_who_stops_sending_gets_all_its_answers(brokers, tmp_path):
    """The system takes some 200 KB for a socket of the file system; the rest waits in the broker when it sees the end."""
    count, path = 200_000, tmp_path / "mqtt.sock"
    brokers.drawbridge(links=f'[[listener]]\nname = "file"\ntype = "mqtt"\nbind = ["unix:{path}"]').start()
    publish = b"\x32\x0b\x00\x07nowhere"
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(path))
        plain.settimeout(10)
        plain.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04half")
        plain.sendall(b"".join(publish + struct.pack("!H", number % 65_535 + 1) for number in range(count)))
        plain.shutdown(socket.SHUT_WR)
        time.sleep(1)
        received = bytearray()
        while data := plain.recv(65_536):
            received += data
    assert len(received) == 4 + 4 * count

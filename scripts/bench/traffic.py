"""Load for what `drawbridge bench` does not know: published to one broker and heard at another.

Publishers and subscribers are processes of their own that speak MQTT 3.1.1 on bare sockets, so that one core carries
the load of two brokers. What was heard is known to every publisher, which can keep to so many messages under way.
"""

import multiprocessing
import os
import select
import socket
import struct
import time

#: Bytes of a payload: the number of its stream, its number in it, when it was sent (seconds), and filling.
HEAD = struct.Struct(">HId")
PAYLOAD = 80
_context = multiprocessing.get_context("fork")


def connect_packet(client_id: str, clean: bool) -> bytes:
    body = b"\0\4MQTT\4" + bytes([2 if clean else 0]) + b"\0\0" + text(client_id)
    return bytes([0x10, len(body)]) + body


def text(string: str) -> bytes:
    data = string.encode()
    return struct.pack(">H", len(data)) + data


def connect(port: int, client_id: str, clean: bool = True, patience: float = 15) -> socket.socket:
    deadline = time.monotonic() + patience
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), 5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(connect_packet(client_id, clean))
    answer = sock.recv(4)
    assert answer[:1] == b"\x20" and answer[3] == 0, answer
    return sock


def frames(data: bytearray):
    """The packets that are whole: (first byte, start of the body, end). What is left stays."""
    at, end = 0, len(data)
    found = []
    while at + 2 <= end:
        length, shift, place = 0, 0, at + 1
        while place < end:
            byte = data[place]
            place += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        else:
            break
        if place + length > end:
            break
        found.append((data[at], place, place + length))
        at = place + length
    return found, at


class Publishers:
    """One process with several connections, a topic each, QoS as said."""

    def __init__(self, port: int, topics: list[str], qos: int, *, count=0, window=1000, rate=0.0, heard=None):
        """`count`: of all messages, 0 for no end. `window`: unanswered, or with `heard` (a shared counter) unheard."""
        self.sent = _context.Value("Q", 0, lock=False)
        self.answered = _context.Value("Q", 0, lock=False)
        self.stop = _context.Event()
        arguments = (port, topics, qos, count, window, rate, heard)
        self.process = _context.Process(target=self._run, args=arguments, daemon=True)
        self.process.start()

    def _run(self, port, topics, qos, count, window, rate, heard):
        name = f"pub{os.getpid()}"
        socks = [connect(port, f"{name}-{index}") for index in range(len(topics))]
        poll = select.poll()
        for sock in socks:
            poll.register(sock, select.POLLIN)
        by_fd = {sock.fileno(): (sock, bytearray()) for sock in socks}
        numbers = [0] * len(socks)
        fill = bytes(PAYLOAD - HEAD.size)
        sent = answered = 0
        began = time.monotonic()
        while not self.stop.is_set():
            if not count or sent < count:
                room = window - (sent - (heard.value if heard is not None else answered))
                if rate:
                    room = min(room, int((time.monotonic() - began) * rate) - sent)
                if count:
                    room = min(room, count - sent)
                each = room // len(socks) if room >= len(socks) else int(room > 0)
                for index, sock in enumerate(socks if each else ()):
                    if count and sent >= count:
                        break
                    out = bytearray()
                    burst = min(each, 500)
                    now = time.time()
                    header = text(topics[index])
                    for _ in range(burst):
                        numbers[index] += 1
                        body = header
                        if qos:
                            body += struct.pack(">H", numbers[index] % 65535 + 1)
                        body += HEAD.pack(index, numbers[index], now) + fill
                        length = len(body)
                        size = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
                        out += bytes([0x30 | qos << 1]) + size + body
                    sent += burst
                    sock.sendall(out)
                    if room == 1 or each == 0:
                        break
                self.sent.value = sent
            elif not qos or answered >= sent:
                break
            for fd, _ in poll.poll(1 if qos else 0.3):
                sock, data = by_fd[fd]
                piece = sock.recv(1 << 18)
                if not piece:
                    return
                data += piece
                found, end = frames(data)
                release = bytearray()
                for kind, start, _ in found:
                    if kind == 0x50:
                        release += b"\x62\x02" + data[start : start + 2]
                    else:
                        answered += 1
                del data[:end]
                if release:
                    sock.sendall(release)
            self.answered.value = answered

    def end(self):
        self.stop.set()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


class Subscriber:
    """One process with one connection. Counts, and says what is missing, doubled or out of order."""

    def __init__(self, port: int, filter: str, qos: int, *, client_id="hears", clean=True):
        self.heard = _context.Value("Q", 0, lock=False)
        self.first = _context.Value("d", 0.0, lock=False)
        self.last = _context.Value("d", 0.0, lock=False)
        self.faults = _context.Value("Q", 0, lock=False)
        self.slowest = _context.Value("d", 0.0, lock=False)
        self.slow = _context.Value("Q", 0, lock=False)
        self.ready = _context.Event()
        self.stop = _context.Event()
        arguments = (port, filter, qos, client_id, clean)
        self.process = _context.Process(target=self._run, args=arguments, daemon=True)
        self.process.start()

    def _run(self, port, filter, qos, client_id, clean):
        sock = connect(port, client_id, clean, patience=60)
        body = b"\0\1" + text(filter) + bytes([qos])
        sock.sendall(bytes([0x82, len(body)]) + body)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        data = bytearray()
        latest: dict[int, int] = {}
        heard = faults = 0
        size = PAYLOAD
        while not self.stop.is_set():
            if not poll.poll(100):
                continue
            piece = sock.recv(1 << 20)
            if not piece:
                return
            data += piece
            found, end = frames(data)
            out = bytearray()
            clock = time.time()
            for kind, start, stop in found:
                form = kind & 0xF0
                if form == 0x30:
                    heard += 1
                    stream, number, sent = HEAD.unpack_from(data, stop - size)
                    if number != latest.get(stream, 0) + 1:
                        faults += 1
                    latest[stream] = number
                    level = kind >> 1 & 3
                    if level:
                        length = data[start] << 8 | data[start + 1]
                        place = start + 2 + length
                        out += (b"\x40\x02" if level == 1 else b"\x50\x02") + data[place : place + 2]
                    late = clock - sent
                    if late > self.slowest.value:
                        self.slowest.value = late
                    if late > 1:
                        self.slow.value += 1
                elif form == 0x60:
                    out += b"\x70\x02" + data[start : start + 2]
                elif form == 0x90:
                    self.ready.set()
            del data[:end]
            if found and heard:
                self.last.value = time.monotonic()
                if not self.first.value:
                    self.first.value = self.last.value
            self.heard.value = heard
            self.faults.value = faults
            if out:
                sock.sendall(out)

    def end(self):
        self.stop.set()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()

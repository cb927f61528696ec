"""Is the answer really given only after the disk has it? strace looks at the system calls, and they cannot lie."""

import pytest

from raw_http import Line, request
from tracing import Strace, hexadecimal
from wire import PUBACK, PUBREC, Wire

MARK = b"the-message-that-must-be-on-disk"
CALLS = ["read", "recvfrom", "recvmsg", "write", "writev", "sendmsg", "sendto", "pwrite64", "fdatasync", "fsync"]


def puback(node):
    """QoS 1: PUBACK."""
    with Wire(node.port, "writer", clean=True) as writer:
        writer.publish("disk/1", MARK, qos=1, packet_id=0x1234)
        answer = writer.read()
        assert answer.kind == PUBACK
        return bytes([PUBACK << 4, len(answer.body), 0x12, 0x34])


def pubrec(node):
    """QoS 2: PUBREC."""
    with Wire(node.port, "writer", clean=False) as writer:
        writer.publish("disk/1", MARK, qos=2, packet_id=0x1234)
        answer = writer.read()
        assert answer.kind == PUBREC
        return bytes([PUBREC << 4, len(answer.body), 0x12, 0x34])


def http_reply(node):
    """HTTP: the status line."""
    with Line(node.web_port) as line:
        line.send(request(node.web_port, "POST", "/v1/publish/disk/1?qos=1", MARK))
        assert line.reply().status == 200
        return b"HTTP/1.1 200"


@pytest.mark.parametrize("ask", [puback, pubrec, http_reply], ids=lambda ask: ask.__name__)
def test_fdatasync_of_the_spool_precedes_the_answer(drawbridge, ask, tmp_path):
    # Somebody must wait for the message, or there is nothing to store.
    with Wire(drawbridge.port, "absent", clean=False) as absent:
        absent.subscribe("disk/#", 1)
    with Strace(drawbridge.pid, CALLS, tmp_path, bytes_shown=20000) as strace:
        answer = hexadecimal(ask(drawbridge))
    events = strace.events()
    told = "\n".join(line[:300] for line in strace.lines())

    def first(what, names, matches, after):
        for index in range(after, len(events)):
            kind, call = events[index]
            if kind == what and call.name in names and matches(call):
                return index
        raise AssertionError(f"no {names} that {what} after event {after}:\n{told}")

    mark = hexadecimal(MARK)
    folder = hexadecimal(str(drawbridge.data).encode())  # strace -xx shows paths so too

    def in_spool(call):
        return folder in call.arguments

    arrived = first("ends", ["read", "recvfrom", "recvmsg"], lambda call: mark in call.arguments, 0)
    written = first("ends", ["pwrite64"], lambda call: in_spool(call) and mark in call.arguments, arrived)
    synced = first("begins", ["fdatasync", "fsync"], in_spool, written)
    safe = first("ends", [events[synced][1].name], in_spool, synced)
    answered = first("begins", ["write", "writev", "sendmsg", "sendto"], lambda call: answer in call.arguments, 0)
    assert arrived < written < synced < safe < answered, (
        f"arrived {arrived}, written {written}, synced {synced} to {safe}, answered {answered}:\n{told}"
    )

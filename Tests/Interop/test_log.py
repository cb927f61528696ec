"""Does a node go on, and stop in good order, when nobody takes its log lines?"""

import os
import subprocess

import pytest

from brokers import accepts, drawbridge_binary
from eventually import eventually
from wire import Wire


def serves(node):
    with Wire(node.port, "a" * 200, clean=True) as client:
        client.subscribe("t")
        client.publish("t", b"x", qos=1)


@pytest.fixture(params=["a full disk", "a reader that is gone", "a pipe that nobody reads", "closed"])
def deaf(request, brokers):
    """A node that cannot write its log."""
    node = brokers.drawbridge("a", more='[log]\nlevel = "debug"\n')
    reader = None
    if request.param == "a full disk":
        log = os.open("/dev/full", os.O_WRONLY)
    elif request.param == "closed":
        log = None
    else:
        reader, log = os.pipe()
    if log is None:
        node.process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 2>&-', "sh", *node.command], stdout=subprocess.DEVNULL, cwd=node.folder
        )
    else:
        node.process = subprocess.Popen(node.command, stdout=subprocess.DEVNULL, stderr=log, cwd=node.folder)
        os.close(log)
    if request.param == "a reader that is gone":
        os.close(reader)
        reader = None
    eventually(lambda: "the port is open", lambda: accepts(node.port))
    yield node
    node.clean_up()
    if reader is not None:
        os.close(reader)


def test_a_node_whose_log_nobody_takes_serves_and_stops(deaf):
    # Each connection is some lines; a pipe takes 64 KiB.
    for _ in range(300):
        serves(deaf)
    assert deaf.is_running, f"ended with {deaf.process.returncode}"
    assert deaf.stop() == 0


def test_a_result_that_cannot_be_written_is_a_failure():
    for arguments in ["version"], ["--help"], ["bench", "--help"]:
        with open("/dev/full", "wb") as full:
            result = subprocess.run([drawbridge_binary(), *arguments], stdout=full, stderr=subprocess.PIPE, timeout=30)
        assert result.returncode == 1 and b"standard output" in result.stderr, (arguments, result)

"""Does `drawbridge bench` drive any broker through each of its scenarios, and say what it found?"""

import contextlib
import json
import signal
import socket
import subprocess
import threading

import pytest

from brokers import drawbridge_binary, free_port
from certificates import Certificates, Doors
from eventually import eventually


def bench(*arguments, seconds=60):
    return subprocess.run(
        [drawbridge_binary(), "bench", *map(str, arguments)], capture_output=True, text=True, timeout=seconds
    )


def report(*arguments, status=0):
    result = bench(*arguments, "--json", "--quiet")
    assert result.returncode == status and result.stderr == "", result
    return json.loads(result.stdout)


def at(broker):
    return ["-h", "127.0.0.1", "-p", broker.port, "--pid", broker.pid]


@pytest.fixture(params=["drawbridge", "mosquitto"])
def either(request, brokers):
    """Each of the two brokers."""
    return (brokers.drawbridge() if request.param == "drawbridge" else brokers.mosquitto()).start()


def is_sound(found, sent=None, received=None):
    faults = ("lost", "duplicates", "reordered", "corrupted", "misplaced_ids", "rejected", "dropped", "failed")
    assert {name: found[name] for name in faults} == dict.fromkeys(faults, 0), found
    assert sent is None or found["sent"] == sent, found
    assert received is None or found["received"] == received, found


# mosquitto 2.0.11 acknowledges nothing to a client of version 3 that sends a hundred messages of QoS 2 at once, while its
# `max_inflight_messages` is the default, 20. Clients of version 5 are told so by its Receive Maximum.
INFLIGHT = ["-F", 20]

# ---------------------------------------------------------------------------------------------------------- scenarios


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_pairs(either, qos, version):
    found = report("pair", *at(either), "-c", 4, "-L", 800, "-q", qos, "-V", version, *INFLIGHT)
    is_sound(found, sent=800, received=800)
    assert found["acknowledged"] == (800 if qos else 0)
    assert found["latency_micros"]["count"] == 800
    assert found["broker"]["resident_bytes_max"] > 1_000_000


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_fan_in(either, qos):
    found = report("fanin", *at(either), "-c", 8, "--subscribers", 2, "-L", 400, "-q", qos)
    is_sound(found, sent=400, received=800)


def test_fan_in_to_a_shared_subscription(either):
    found = report("fanin", *at(either), "-c", 4, "--subscribers", 3, "--share", "g", "-L", 400, "-q", 1)
    is_sound(found, sent=400, received=400)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_fan_out(either, qos):
    found = report("fanout", *at(either), "-c", 10, "--publishers", 2, "-L", 200, "-q", qos)
    is_sound(found, sent=200, received=2000)


def test_connections_that_stay_and_connections_that_come_and_go(either):
    found = report("conn", *at(either), "-c", 50, "--duration", 0.2)
    assert found["connected"] == 50 and found["connect_micros"]["count"] == 50
    assert "resident_bytes_per_connection" in found["broker"]
    found = report("conn", *at(either), "-c", 5, "--churn", "--warm-up", 0, "--duration", 1)
    is_sound(found)
    assert found["connects_per_second"] > 5


def test_clients_that_come_and_go_come_again_after_the_broker_did(either):
    running = subprocess.Popen(
        [drawbridge_binary(), "bench", "conn", *map(str, at(either)[:4]), "-c", "5", "--churn", "--warm-up", "0"]
        + ["--duration", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def connects():
        """From the line of progress that comes next."""
        words = running.stderr.readline().split()
        return int(words[words.index("connects") + 1]) if "connects" in words else 0

    try:
        eventually("clients come and go", connects)
        either.kill()
        either.restart()
        before = connects()
        eventually("they come again", lambda: connects() > before + 10)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=30)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 3 and "connections failed" in output, output


def test_connections_at_a_rate(either):
    found = report("conn", *at(either), "-c", 30, "-R", 100, "--duration", 0)
    is_sound(found)
    assert 0.28 <= found["set_up_seconds"] < 10


def test_clients_that_wait(either):
    found = report("idle", *at(either), "-c", 60, "--topics", 7, "--duration", 0.2)
    is_sound(found, sent=7, received=60)
    assert found["connected"] == 60


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_that_wait_for_clients(either, qos, version):
    found = report("backlog", *at(either), "-c", 3, "-L", 300, "-q", qos, "-V", version, *INFLIGHT)
    is_sound(found, sent=300, received=300)
    assert found["sessions_present"] == 3 and found["acknowledged"] == 300
    assert found["connected"] == found["connections"] == 6
    # One time base for all of it.
    assert found["seconds"] == found["drain_seconds"]
    assert found["drain_per_second"] == pytest.approx(300 / found["drain_seconds"])
    # It leaves no session behind: the same ids find none.
    again = report("backlog", *at(either), "-c", 3, "-L", 30, "-q", qos, "-V", version, *INFLIGHT)
    is_sound(again, sent=30, received=30)


@contextlib.contextmanager
def running(*arguments):
    """`drawbridge bench`, while it runs."""
    command = [drawbridge_binary(), "bench", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt(process):
    """Ctrl-C, and what it says then."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=30)[0]


def test_publishers_here_and_subscribers_there(either):
    with running("sub", *at(either), "-c", 2, "-t", "b/#", "-q", 1, "--json") as listening:
        # Its progress says that it has subscribed.
        assert "connected 2" in listening.stderr.readline()
        found = report("pub", *at(either), "-c", 3, "-t", "b/%i/%c", "-q", 1, "-I", 2, "-L", 300)
        is_sound(found, sent=300)
        assert found["latency_micros"]["count"] == 300 and found["acknowledged"] == 300
        eventually("300 messages have come twice", lambda: "received 600 " in listening.stderr.readline(), 20)
        output = interrupt(listening)
    heard = json.loads(output)
    assert listening.returncode == 0
    is_sound(heard, received=600)
    # One machine has one monotonic clock, and the delay of the other process's messages can be told.
    assert heard["was_interrupted"] and heard["latency_micros"]["count"] == 600


def interrupted(*arguments, at_line):
    """What a run says that gets Ctrl-C when its progress says that."""
    with running(*arguments) as process:
        assert at_line in process.stderr.readline()
        output = interrupt(process)
    return process.returncode, output


@pytest.mark.parametrize("scenario", ["conn", "idle", "pair", "backlog"])
def test_ctrl_c_while_clients_connect(either, scenario):
    status, output = interrupted(scenario, *at(either), "-c", 100, "-R", 20, at_line="connected ")
    assert status == 1 and "clients connected, and nothing else was checked" in output, output
    assert "all connected" not in output and "nothing lost" not in output, output


def test_ctrl_c_while_connections_are_held(either):
    status, output = interrupted("conn", *at(either), "-c", 20, at_line="connected 20")
    assert status == 0 and "20 connected in" in output and "all connected" in output, output
    status, output = interrupted("idle", *at(either), "-c", 20, "--duration", 60, "--json", at_line="connected 20")
    found = json.loads(output)
    # The waiting is over, and each hears its message all the same.
    is_sound(found, sent=20, received=20)
    assert status == 0 and found["was_interrupted"] and found["connected"] == 20


def test_messages_of_others_are_told_apart(either):
    door = ["-h", "127.0.0.1", "-p", str(either.port), "-t", "b/1", "-q", "1"]
    with running("sub", *at(either), "-c", 1, "-t", "b/#", "-q", 1, "--json") as listening:
        assert "connected 1" in listening.stderr.readline()
        for payload in (b"\xff" * 24, b"\0" * 24, b'{"temperature":10000000}', b""):
            publish = [drawbridge_binary(), "pub", *door, "-s"]
            subprocess.run(publish, input=payload, check=True, timeout=20)
        eventually("they have come", lambda: "of others 4 " in listening.stderr.readline(), 20)
        output = interrupt(listening)
    heard = json.loads(output)
    assert listening.returncode == 0 and heard["foreign"] == 4
    is_sound(heard, received=0)
    assert heard["received_per_second"] == 0


def test_more_than_can_be_sent_does_not_keep_the_generator_from_reading(either):
    options = ["-c", 2, "--rate", 3_000_000, "-s", 24, "--warm-up", 0, "--duration", 0.5, "--allow-loss"]
    found = report("pair", *at(either), *options)
    # It reads although it is behind schedule.
    assert found["received_per_second"] > 0, found


def test_an_open_loop_keeps_its_rate(either):
    found = report("pair", *at(either), "-c", 5, "--rate", 500, "--warm-up", 0.2, "--duration", 1)
    is_sound(found)
    assert 350 <= found["sent_per_second"] <= 650
    assert found["rate"] == 500 and found["send_delay_max_micros"] >= 0


def test_several_threads(either):
    is_sound(report("fanout", *at(either), "-c", 9, "-L", 100, "-q", 1, "--threads", 2), sent=100, received=900)


def test_websocket(either):
    door = ["-h", "127.0.0.1", "-p", either.web_port, "--ws"]
    for qos in (0, 2):
        is_sound(report("pair", *door, "-c", 3, "-L", 600, "-s", 3000, "-q", qos), sent=600, received=600)


def test_tls(brokers, tmp_path):
    certificates = Certificates(tmp_path / "certificates")
    doors = Doors(brokers, certificates).start()
    trust = ["-S", "--cafile", certificates.ca_crt]
    common = ["-c", 3, "-L", 300, "-q", 1, *trust]
    is_sound(report("pair", "-h", "127.0.0.1", "-p", doors.tls_port, *common), sent=300, received=300)
    is_sound(report("pair", "-h", "127.0.0.1", "-p", doors.web_tls_port, "--ws", *common), sent=300, received=300)
    result = bench("pair", "-h", "127.0.0.1", "-p", doors.tls_port, "-S", "-c", 1, "--quiet")
    assert result.returncode == 1 and "certificate" in result.stderr, result


def test_several_source_addresses(either):
    found = report("conn", *at(either), "-c", 6, "--duration", 0, "--ifaddr", "127.0.0.2,127.0.0.3")
    is_sound(found)


# -------------------------------------------------------------------------------------------------------------- faults


class Thief(threading.Thread):
    """Stands between bench and a broker, and takes a piece out of what the broker says when it is told to."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target = port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.start()

    def run(self):
        while True:
            client, _ = self.server.accept()
            broker = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(client, broker, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(broker, client, True), daemon=True).start()

    def pump(self, source, target, steals):
        seen = 0
        try:
            while data := source.recv(65536):
                seen += len(data)
                # A whole PUBLISH of QoS 0 with a payload of 64 bytes, from the middle of many of them.
                size = 2 + data[1] if data[0] == 0x30 else 0
                if steals and seen > 3000 and size and len(data) > 3 * size:
                    data, steals = data[size:], False
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_one_message_that_is_stolen_is_missed(either):
    thief = Thief(either.port)
    options = ["-h", "127.0.0.1", "-p", thief.port, "-c", 1, "-L", 5000, "--drain", 1, "-V", 4]
    found = report("pair", *options, status=3)
    assert found["lost"] == 1 and found["duplicates"] == found["reordered"] == 0, found
    assert report("pair", *options, "--allow-loss")["lost"] == 1


@pytest.mark.parametrize("scenario, count", [("pair", 5), ("idle", 10)])
def test_a_broker_that_dies_is_told(either, scenario, count):
    running = subprocess.Popen(
        [drawbridge_binary(), "bench", scenario, "-h", "127.0.0.1", "-p", str(either.port), "-c", str(count)]
        + ["--duration", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "connected 10" in running.stderr.readline()
        either.kill()
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=30)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 3 and "10 connections dropped" in output and "FAULTY" in output, output


def test_a_session_taken_over_is_a_connection_dropped(either):
    """Two runs with the same client ids throw each other out, and say so."""
    common = [*map(str, at(either)), "-c", "1", "-t", "x", "--prefix", "same"]
    first = subprocess.Popen(
        [drawbridge_binary(), "bench", "sub", *common], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert "connected 1" in first.stderr.readline()
        assert bench("sub", *common, "--duration", 0.1).returncode == 0
        first.send_signal(signal.SIGTERM)
        output, _ = first.communicate(timeout=20)
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == 3 and "1 connections dropped" in output, output


# ----------------------------------------------------------------------------------------------------- what is printed


def test_the_table_and_the_progress_are_for_people(either):
    result = bench("pair", *at(either), "-c", 2, "--rate", 100, "--warm-up", 0, "--duration", 1.3)
    assert result.returncode == 0, result
    assert "1s  connected 4  sent " in result.stderr
    for words in ("p99", "nothing lost, doubled or out of order", "CPU s per million messages", "generator"):
        assert words in result.stdout, result.stdout


WRONG = {
    "nobody listens": (["pair", "-h", "127.0.0.1", "-p", "PORT"], "Connection refused"),
    "no such host": (["pair", "-h", "nowhere.invalid"], "Lookup error"),
    "a bad quality of service": (["pair", "-q", "3"], "-q is 0, 1 or 2"),
    "a bad version": (["pair", "-V", "7"], "-V is 3"),
    "a payload too small for its stamp": (["pair", "-s", "10"], "-s must be between 24"),
    "no topic": (["pub"], "pub needs a topic"),
    "an interval beyond counting": (["conn", "-i", "9223372036854775807"], "-i must be between 0 and 10000000"),
    "hardly a client": (["conn", "-R", "1e-300"], "-R must be between 0.0001 and 100000000"),
    "hardly a message": (["pair", "--rate", "1e-300"], "--rate must be between 0.0001 and 100000000"),
    "an endless interval": (["pair", "-I", "inf"], "-I must be between 0 and 10000000, not inf"),
    "an interval that is no number": (["pair", "-I", "nan"], "-I must be between 0 and 10000000, not nan"),
    "a rate of what has none": (["backlog", "--rate", "5"], "--rate means nothing to backlog"),
    "more clients than descriptors": (["conn", "-c", "5000000"], "ulimit -Hn"),
    "no such process": (["conn", "-h", "127.0.0.1", "-p", "PORT", "--pid", "99999999"], "no such process"),
    "no such authority": (["pair", "-S", "--cafile", "/nonexistent", "-h", "127.0.0.1", "-p", "BROKER"], "/nonexistent"),
    "a strange source": (["pair", "-h", "127.0.0.1", "-p", "BROKER", "--ifaddr", "here"], "--ifaddr here is no address"),
    "a source elsewhere": (["conn", "-h", "127.0.0.1", "-p", "BROKER", "--ifaddr", "192.0.2.1"], "assign requested"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_keeps_it_from_running_is_one_clear_error(drawbridge, case):
    arguments, words = WRONG[case]
    places = {"PORT": str(free_port()), "BROKER": str(drawbridge.port)}
    result = bench(*(places.get(argument, argument) for argument in arguments), "--quiet")
    assert result.returncode == 1 and result.stdout == "", result
    assert result.stderr.startswith("Error: ") and words in result.stderr, result
    assert "Fatal" not in result.stderr


def test_what_the_broker_does_not_allow_is_one_clear_error(brokers):
    node = brokers.drawbridge(more='[limits]\nmax_qos = 1\nmax_packet = "4KiB"').start()
    door = ["-h", "127.0.0.1", "-p", node.port, "-c", 2, "-L", 10, "--quiet"]
    cases = [
        (["pair", "-q", 2], "say -q 1"),
        (["idle", "-q", 2, "--duration", 0], "say -q 1"),
        (["pub", "-t", "a", "-q", 2], "at most (Maximum QoS): say -q 1"),
        (["pair", "-s", 5000], "packets of 4096 bytes at most (Maximum Packet Size)"),
    ]
    for arguments, words in cases:
        options = door if arguments[0] != "idle" else [option for option in door if option not in ("-L", 10)]
        result = bench(*arguments, *options)
        assert result.returncode == 1 and result.stdout == "" and words in result.stderr, result
    is_sound(report("pair", *door[:-1], "-q", 1, "-s", 3000), sent=10, received=10)


def test_a_flag_that_does_not_exist_is_refused():
    result = bench("pair", "--colour")
    assert result.returncode not in (0, 3) and "colour" in result.stderr


def test_a_broker_that_lets_nobody_in_is_told(brokers, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    hub = brokers.mosquitto("hub", more="")
    text = hub.config_file.read_text().replace("allow_anonymous true", f"allow_anonymous false\npassword_file {passwords}")
    hub.config_file.write_text(text)
    hub.start()
    result = bench("pair", "-h", "127.0.0.1", "-p", hub.port, "-c", 2, "--quiet")
    assert result.returncode == 1 and "of 4 clients connected: refused" in result.stderr, result


def test_every_scenario_explains_itself():
    listed = bench("--help").stdout
    for scenario in ("conn", "sub", "pub", "pair", "fanin", "fanout", "idle", "backlog"):
        assert scenario in listed
        result = bench(scenario, "--help")
        assert result.returncode == 0 and "-h, --host" in result.stdout and "-c, --count" in result.stdout

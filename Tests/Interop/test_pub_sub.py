"""Do `drawbridge pub` and `drawbridge sub` do what mosquitto_pub and mosquitto_sub do, with the same words, against both
brokers and by every door?"""

import itertools
import os
import select
import signal
import socket
import subprocess
import time

import pytest

from brokers import drawbridge_binary, free_port, program
from certificates import Certificates, Doors
from test_auth import node_with_users
from test_tls_links import mosquitto_hub

TIMED_OUT, LOST, TLS_FAILED = 27, 7, 8


def pub(whose):
    return [drawbridge_binary(), "pub"] if whose == "ours" else [program("mosquitto_pub")]


def sub(whose):
    return [drawbridge_binary(), "sub"] if whose == "ours" else [program("mosquitto_sub")]


def call(command, *arguments, stdin=b"", seconds=30):
    return subprocess.run([*command, *map(str, arguments)], input=stdin, capture_output=True, timeout=seconds)


def succeeds(command, *arguments, **more):
    result = call(command, *arguments, **more)
    assert result.returncode == 0 and result.stderr == b"", result
    return result.stdout


class Listening:
    """A sub that has subscribed: it has printed the retained message at `ready`, a topic of the same SUBSCRIBE."""

    def __init__(self, whose, address, *arguments):
        succeeds(pub("mosquitto"), *address, "-t", "ready", "-m", "ready", "-r", "-q", "1")
        self.process = subprocess.Popen(
            [*sub(whose), *map(str, address), "-t", "ready", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.output = b""
        self.wait_for(b"ready\n")
        self.output = b""

    def wait_for(self, text, seconds=20):
        deadline = time.monotonic() + seconds
        while text not in self.output:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            assert chunk, f"{text!r} is not in {self.output!r}; exit status {self.process.poll()}"
            self.output += chunk
        return self.output

    def end(self, seconds=20):
        """What it printed, what it complained of, and how it ended."""
        rest, errors = self.process.communicate(timeout=seconds)
        return self.output + rest, errors, self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture(params=["drawbridge", "mosquitto"])
def either(request, brokers):
    """Each of the two brokers."""
    return (brokers.drawbridge() if request.param == "drawbridge" else brokers.mosquitto()).start()


def at(broker):
    return ["-h", "127.0.0.1", "-p", broker.port]


# ------------------------------------------------------------------------------------------------------ the same words

MESSAGES = {
    "a message": (["-t", "a", "-m", "hello"], b"", ["-t", "a", "-C", 1]),
    "a message that looks like a flag": (["-t", "a", "-m", "-q"], b"", ["-t", "a", "-C", 1]),
    "with its topic": (["-t", "a/b", "-m", "grüße"], b"", ["-t", "a/#", "-v", "-C", 1]),
    "nothing": (["-t", "a", "-n"], b"", ["-t", "a", "-v", "-C", 1]),
    "nothing without its topic": (["-t", "a", "-n"], b"", ["-t", "a", "-C", 1]),
    "standard input": (["-t", "a", "-s"], b"two\nlines\n", ["-t", "a", "-C", 1]),
    "lines": (["-t", "a", "-l"], b"one\n\nthree\n", ["-t", "a", "-v", "-C", 3]),
    "a last line without end": (["-t", "a", "-l"], b"one\ntwo", ["-t", "a", "-C", 2]),
    "version 5": (["-t", "a", "-m", "five", "-V", "mqttv5"], b"", ["-t", "a", "-V", "5", "-C", 1]),
    "without line ends": (["-t", "a", "-l"], b"x\ny\n", ["-t", "a", "-N", "-C", 2]),
    "a format": (["-t", "a", "-m", "hi"], b"", ["-t", "a", "-F", "%t %p %q %r %l %x%%\\n.", "-C", 1]),
    "several topics": (["-t", "b", "-m", "hi"], b"", ["-t", "a", "-t", "b", "-C", 1]),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_looks_the_same_whoever_sends_and_whoever_prints_it(either, case):
    sending, stdin, printing = MESSAGES[case]
    outputs = {}
    for sender, reader in itertools.product(["mosquitto", "ours"], repeat=2):
        # The session of the reader waits for the message, so that nobody has to wait for the reader.
        session = [*at(either), "-c", "-i", f"{sender}-{reader}", "-q", 2, *printing]
        succeeds(sub(reader), *session, "-E")
        assert succeeds(pub(sender), *at(either), *sending, "-q", 2, stdin=stdin) == b""
        outputs[sender, reader] = succeeds(sub(reader), *session, "-W", 20)
    assert set(outputs.values()) == {outputs["mosquitto", "mosquitto"]}, outputs


@pytest.mark.parametrize("whose", ["mosquitto", "ours"])
def test_messages_to_filtered_topics_are_neither_printed_nor_counted(either, whose):
    with Listening(whose, at(either), "-t", "a/+", "-T", "a/no", "-C", 2) as listening:
        for topic in ("a/no", "a/yes"):
            succeeds(pub("ours"), *at(either), "-t", topic, "-m", topic, "-q", 1)
        assert listening.end() == (b"a/yes\n", b"", 0)


def test_a_file_is_a_message(either, tmp_path):
    file = tmp_path / "picture"
    file.write_bytes(bytes(range(256)) * 1000)
    with Listening("ours", at(either), "-t", "a", "-C", 2) as listening:
        succeeds(pub("ours"), *at(either), "-t", "a", "-f", file, "-q", 1)
        output, errors, status = listening.end()
    assert (output, errors, status) == (file.read_bytes() + b"\n", b"", 0)


WRONG = [
    ("pub", ["-t", "a"]),
    ("pub", ["-m", "x"]),
    ("pub", ["-m", "x", "-t", "a/#"]),
    ("pub", ["-m", "x", "-n", "-t", "a"]),
    ("pub", ["-m", "x", "-t", "a", "-q", "3"]),
    ("pub", ["-m", "x", "-t", "a", "-p", "99999"]),
    ("pub", ["-m", "x", "-t", "a", "-k", "2"]),
    ("pub", ["-m", "x", "-t", "a", "-V", "9"]),
    ("pub", ["-m", "x", "-t", "a", "--will-payload", "x"]),
    ("pub", ["-m", "x", "-t", "a", "--cert", "x"]),
    ("pub", ["-m", "x", "-t", "a", "-c"]),
    ("pub", ["-t", "a", "-f", "/nonexistent"]),
    ("sub", []),
    ("sub", ["-t", "a/#/b"]),
    ("sub", ["-t", "a", "-c"]),
    ("sub", ["-t", "a", "-C", "0"]),
    ("sub", ["-t", "a", "-W", "0"]),
    ("sub", ["-t", "a", "-U", "#/b"]),
]


@pytest.mark.parametrize("command, arguments", WRONG)
def test_a_wrong_command_line_is_refused_with_the_same_words(command, arguments):
    which = {"pub": pub, "sub": sub}[command]
    theirs, ours = (call(which(whose), *arguments) for whose in ("mosquitto", "ours"))

    def complaint(result):
        return next(line for line in result.stderr.decode().splitlines() if line.strip())

    assert (ours.returncode, complaint(ours)) == (theirs.returncode, complaint(theirs))


TOO_LONG = "x" * 65_536


@pytest.mark.parametrize(
    "flags",
    [
        ["-u", TOO_LONG],
        ["-u", "a", "-P", TOO_LONG],
        ["-i", TOO_LONG],
        ["--will-topic", "w", "--will-payload", TOO_LONG],
    ],
)
def test_what_is_too_long_for_a_packet_is_refused_at_once(flags):
    for command, arguments in ((pub("ours"), ["-t", "a", "-m", "x"]), (sub("ours"), ["-t", "a"])):
        result = call(command, "-h", "127.0.0.1", "-p", free_port(), *arguments, *flags)
        words = f"Error: {flags[-2]} has 65536 bytes; MQTT takes at most 65535.".encode()
        assert result.returncode == 1 and result.stderr.splitlines()[0] == words, result.stderr[:200]


def test_how_deep_a_topic_may_be_is_for_the_broker_to_say(brokers):
    deep = ["-t", "/".join(["a"] * 150), "-m", "x", "-q", 1]
    succeeds(pub("ours"), *at(brokers.mosquitto().start()), *deep)
    result = call(pub("ours"), *at(brokers.drawbridge().start()), *deep)  # 128 levels, unless configured
    assert result.returncode == LOST and b"Invalid" not in result.stderr, result


def test_h_is_the_host_and_help_is_help():
    for command in (pub("ours"), sub("ours")):
        assert b"USAGE" in succeeds(command, "--help")
    result = call(pub("ours"), "-h", "host.invalid", "-t", "a", "-m", "x")
    assert (result.returncode, result.stderr) == (1, b"Unable to connect (Lookup error.).\n")


# ------------------------------------------------------------------------------------------------------------ exit codes


@pytest.mark.parametrize("whose", ["mosquitto", "ours"])
def test_nobody_there_is_said(whose):
    port = free_port()
    for command, arguments in ((pub(whose), ["-t", "a", "-m", "x", "-q", 1]), (sub(whose), ["-t", "a"])):
        result = call(command, "-h", "127.0.0.1", "-p", port, *arguments)
        assert (result.returncode, result.stderr) == (1, b"Error: Connection refused\n"), result


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_a_wrong_password_is_refused_alike_and_a_right_one_is_not(brokers, tmp_path, version):
    node, _ = node_with_users(brokers, tmp_path)
    node.start()
    for command, arguments in ((pub, ["-t", "a", "-m", "x", "-q", 1]), (sub, ["-t", "a", "-E"])):
        results = []
        for whose in ("mosquitto", "ours"):
            door = [*at(node), "-u", "ann", "-V", version, *arguments]
            succeeds(command(whose), *door, "-P", "secret")
            results.append(call(command(whose), *door, "-P", "wrong"))
        theirs, ours = results
        assert ours.returncode == theirs.returncode != 0, results
        assert b"Connection error" in ours.stderr and b"secret" not in ours.stderr, ours
    # As a URL, where the password has a sign of its own.
    assert succeeds(pub("ours"), f"mqtt://ann:secre%74@127.0.0.1:{node.port}/a", "-m", "x", "-q", "1") == b""


def test_what_the_broker_refuses_is_no_success(brokers, tmp_path):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite ok/#\n")
    hub = brokers.mosquitto(more=f"acl_file {rules}").start()
    for qos in (1, 2):
        succeeds(pub("ours"), *at(hub), "-t", "ok/a", "-m", "x", "-q", qos, "-V", 5)
        result = call(pub("ours"), *at(hub), "-t", "no/a", "-m", "x", "-q", qos, "-V", 5)
        assert result.returncode == 0x87 and b"Publish 1 failed: Not authorized." in result.stderr, result


def test_without_acknowledgement_there_is_no_success(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [*pub("ours"), "-h", "127.0.0.1", "-p", str(port), "-t", "a", "-m", "x", "-q", "1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        client, _ = server.accept()
        with client:
            client.recv(1000)
            client.sendall(b"\x20\x02\x00\x00")
            assert client.recv(1000)[0] >> 4 == 3
        output, errors = process.communicate(timeout=20)
    assert process.returncode == LOST and b"connection was lost" in errors and output == b"", errors


@pytest.mark.parametrize("whose", ["mosquitto", "ours"])
def test_sub_ends_after_so_many_messages_or_seconds(either, whose):
    with Listening(whose, at(either), "-t", "a", "-q", 1, "-C", 3) as listening:
        succeeds(pub("ours"), *at(either), "-t", "a", "-l", "-q", 1, stdin=b"1\n2\n3\n4\n")
        assert listening.end() == (b"1\n2\n", b"", 0)
    result = call(sub(whose), *at(either), "-t", "a", "-W", 1)
    assert (result.returncode, result.stdout, result.stderr) == (TIMED_OUT, b"", b"Timed out\n")


def test_sub_ends_quietly_when_asked_to_and_when_nobody_reads(either):
    with Listening("ours", at(either), "-t", "a") as listening:
        listening.process.send_signal(signal.SIGINT)
        assert listening.end() == (b"", b"", 0)
    with Listening("ours", at(either), "-t", "a") as listening:
        listening.process.stdout.close()
        succeeds(pub("ours"), *at(either), "-t", "a", "-m", "x", "-q", 1)
        assert listening.process.wait(20) == 0 and listening.process.stderr.read() == b""


# ------------------------------------------------------------------------------------------------- sessions and outages


def test_a_session_keeps_messages_and_gives_each_once(either):
    mine = [*at(either), "-c", "-i", "press-4", "-q", 2, "-t", "a"]
    succeeds(sub("ours"), *mine, "-E")
    succeeds(pub("ours"), *at(either), "-t", "a", "-l", "-q", 2, stdin=b"1\n2\n3\n4\n5\n")
    assert succeeds(sub("ours"), *mine, "-C", 3) == b"1\n2\n3\n"
    assert succeeds(sub("mosquitto"), *mine, "-C", 2) == b"4\n5\n"
    result = call(sub("ours"), *mine, "-W", 1)
    assert (result.returncode, result.stdout) == (TIMED_OUT, b"")


def test_retained_messages_come_unless_they_are_stale(either):
    succeeds(pub("ours"), *at(either), "-t", "a", "-m", "old", "-r", "-q", 1)
    for version in ("mqttv311", "mqttv5"):
        assert succeeds(sub("ours"), *at(either), "-t", "a", "-C", 1, "-V", version) == b"old\n"
        result = call(sub("ours"), *at(either), "-t", "a", "-R", "-W", 1, "-V", version)
        assert (result.returncode, result.stdout) == (TIMED_OUT, b"")


def test_a_will_is_left_by_kill_and_not_by_an_orderly_end(either):
    will = ["--will-topic", "wills", "--will-payload", "gone", "--will-qos", 1]
    with Listening("mosquitto", at(either), "-t", "wills", "-v") as heirs:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with Listening("ours", at(either), "-t", "a", *will) as listening:
                listening.process.send_signal(number)
                listening.process.wait(20)
        heirs.wait_for(b"wills gone\n")
        succeeds(pub("ours"), *at(either), "-t", "wills", "-m", "<end>")
        assert heirs.wait_for(b"<end>").count(b"gone") == 1


def test_sub_and_pub_of_lines_come_back_after_an_outage(either):
    command = [*pub("ours"), *map(str, at(either)), "-t", "a", "-l", "-q", "1"]
    with Listening("ours", at(either), "-t", "a", "-q", 1, "-c", "-i", "reader") as listening:
        writer = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        writer.stdin.write(b"before\n")
        writer.stdin.flush()
        listening.wait_for(b"before\n")
        either.stop()
        writer.stdin.write(b"meanwhile\n")
        writer.stdin.flush()
        either.restart()
        # They come back at different times; the session of the reader waits for what it misses.
        listening.wait_for(b"meanwhile\n")
        writer.stdin.write(b"after\n")
        _, errors = writer.communicate(timeout=30)
        assert (writer.returncode, errors) == (0, b"")
        listening.wait_for(b"after\n")


def test_many_lines_go_through_a_window(either):
    lines = b"".join(b"%d\n" % number for number in range(5000))
    with Listening("ours", at(either), "-t", "a", "-q", 1, "-C", 5001) as listening:
        process = subprocess.Popen([*pub("ours"), *map(str, at(either)), "-t", "a", "-l", "-q", "1"], stdin=subprocess.PIPE)
        process.stdin.write(lines)
        process.stdin.close()
        assert listening.end(seconds=60) == (lines, b"", 0)
        assert process.wait(20) == 0


# ---------------------------------------------------------------------------------------------------------------- doors


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "tls", "--client", "edge-1")


def carries(reading, writing):
    """One retained message of QoS 2 from a pub to a sub."""
    succeeds(pub("ours"), *writing, "-m", "hello", "-q", "2", "-r")
    assert succeeds(sub("ours"), *reading, "-q", "2", "-C", "1", "-v") == b"chat/a hello\n"


def test_addresses_say_plain_and_websocket(either):
    for address in (f"mqtt://127.0.0.1:{either.port}", f"ws://127.0.0.1:{either.web_port}"):
        carries(["-L", f"{address}/chat/#"], [f"{address}/chat/a"])
    path = f"ws://127.0.0.1:{either.web_port}/mqtt"
    carries([path, "-t", "chat/#"], [path, "-t", "chat/a"])
    big = bytes(range(256)) * 1200
    session = [path, "-t", "big", "-c", "-i", "reader", "-q", "1"]
    succeeds(sub("ours"), *session, "-E")
    succeeds(pub("ours"), path, "-t", "big", "-s", "-q", "1", stdin=big)
    assert succeeds(sub("ours"), *session, "-N", "-C", "1") == big


def test_a_path_without_websocket_is_said(brokers):
    node = brokers.drawbridge().start()
    result = call(pub("ours"), f"ws://127.0.0.1:{node.web_port}/nowhere", "-t", "a", "-m", "x")
    assert result.returncode == TLS_FAILED and b"/nowhere is answered with 404" in result.stderr, result


@pytest.mark.parametrize("kind", ["drawbridge", "mosquitto"])
def test_tls_is_spoken_to_those_whose_authority_is_known(brokers, certificates, tmp_path, kind):
    if kind == "mosquitto":
        port = mosquitto_hub(brokers, certificates, "require_certificate true\n").tls_port
    else:
        settings = f'client_ca = "{certificates.ca_crt}"\nclient_cert = "required"\n'
        port = Doors(brokers, certificates, settings=settings).start().tls_port
    own = certificates.mosquitto()
    door = ["-h", "localhost", "-p", port]
    carries([*door, *own, "-t", "chat/#"], [*door, *own, "-t", "chat/a"])
    carries([f"mqtts://localhost:{port}/chat/#", *own], ["-L", f"mqtts://localhost:{port}/chat/a", *own])
    # mosquitto_pub reads what ours wrote, by the same flags.
    assert succeeds(sub("mosquitto"), *door, *own, "-t", "chat/a", "-C", 1) == b"hello\n"

    stranger = Certificates(tmp_path / "other")
    for command, rest in ((pub, ["-t", "a", "-m", "x"]), (sub, ["-t", "a"])):
        # Theirs ends with 1 or 8, depending on how far it came.
        assert call(command("mosquitto"), *door, "--cafile", stranger.ca_crt, *rest).returncode in (1, TLS_FAILED)
        result = call(command("ours"), *door, "--cafile", stranger.ca_crt, *rest)
        assert result.returncode == TLS_FAILED, result
        assert b"is not trusted: its authority is" in result.stderr, result

    anonymous = call(pub("ours"), *door, "--cafile", certificates.ca_crt, "-t", "a", "-m", "x", "-q", 1)
    assert anonymous.returncode != 0 and b"Error: " in anonymous.stderr, anonymous
    missing = call(pub("ours"), *door, "--cafile", tmp_path / "absent", "-t", "a", "-m", "x")
    assert missing.returncode == 1 and b"absent cannot be read" in missing.stderr, missing


def test_a_certificate_of_another_host_is_taken_only_when_told_so(brokers, certificates):
    port = free_port()
    files = f"cafile {certificates.ca_crt}\ncertfile {certificates.server_crt}\nkeyfile {certificates.server_key}"
    brokers.mosquitto(more=f"listener {port} 127.0.0.2\n{files}\n").start()
    arguments = ["-h", "127.0.0.2", "-p", port, "--cafile", certificates.ca_crt, "-t", "a", "-m", "x", "-q", 1]
    for whose in ("mosquitto", "ours"):
        assert call(pub(whose), *arguments).returncode in (1, TLS_FAILED)
        succeeds(pub(whose), *arguments, "--insecure")
    result = call(pub("ours"), *arguments)
    assert b"does not name the host" in result.stderr and b"tls.server_name" not in result.stderr, result


def test_wss_goes_to_both(brokers, certificates):
    doors = Doors(brokers, certificates).start()
    port = free_port()
    files = f"cafile {certificates.ca_crt}\ncertfile {certificates.server_crt}\nkeyfile {certificates.server_key}"
    brokers.mosquitto(more=f"listener {port} 127.0.0.1\nprotocol websockets\n{files}\n").start()
    for port in (doors.web_tls_port, port):
        trust = ["--cafile", certificates.ca_crt]
        carries([f"wss://localhost:{port}/mqtt", "-t", "chat/#", *trust], [f"wss://localhost:{port}/chat/a", *trust])
        result = call(pub("ours"), f"wss://localhost:{port}/chat/a", "-m", "x")
        assert result.returncode == TLS_FAILED, result


def test_the_line_of_the_field_manual_works(brokers, tmp_path):
    node, _ = node_with_users(brokers, tmp_path, users=(("10007", "secret"),))
    node.start()
    login = [*at(node), "-u", "10007", "-P", "secret"]
    line = [*sub("ours"), "-R", *map(str, login), "-c", "-i", "client_id_test_10007", "-t", "user/10007", "-d", "-q", "1"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert any("received SUBACK" in text for text in process.stdout)
        succeeds(pub("mosquitto"), *login, "-t", "user/10007", "-m", "hello", "-q", 1)
        assert any(text == "hello\n" for text in process.stdout)
    finally:
        process.kill()
        process.communicate()

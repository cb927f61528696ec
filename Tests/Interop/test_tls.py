"""Do the ports with TLS serve whom they should, keep the others outside, and stay up while certificates change?"""

import json
import multiprocessing
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from brokers import drawbridge_binary, program
from certificates import Certificates, Doors, TLSWire, openssl
from eventually import eventually
from raw_http import upgrade
from wire import DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBLISH, Gone, Wire, text

MUTUAL = 'client_ca = "{0}"\nclient_cert = "required"\nusername = "cn"'


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "tls", "--client", "press-4")


@pytest.fixture
def doors(brokers, certificates):
    """TLS without client certificates."""
    return Doors(brokers, certificates).start()


@pytest.fixture
def mutual(brokers, certificates):
    """TLS that asks everybody for a certificate."""
    return Doors(brokers, certificates, settings=MUTUAL.format(certificates.ca_crt)).start()


def check(node):
    return subprocess.run(
        [drawbridge_binary(), "check", "--config", str(node.config_file)], capture_output=True, text=True, timeout=60
    )


# ------------------------------------------------------------------------------------------------ making certificates


def test_cert_init_makes_what_openssl_trusts(tmp_path):
    made = Certificates(tmp_path / "tls", "--host", "edge.example.com", "--host", "10.1.2.3")
    for name in ("server.crt", "client.crt"):
        openssl("verify", "-CAfile", made.ca_crt, "-x509_strict", made.folder / name)
    for host, option in [
        ("edge.example.com", "-verify_hostname"),
        ("localhost", "-verify_hostname"),
        (socket.gethostname(), "-verify_hostname"),
        ("10.1.2.3", "-verify_ip"),
        ("127.0.0.1", "-verify_ip"),
        ("::1", "-verify_ip"),
    ]:
        openssl("verify", "-CAfile", made.ca_crt, "-purpose", "sslserver", option, host, made.server_crt)
    openssl("verify", "-CAfile", made.ca_crt, "-purpose", "sslclient", made.client_crt)
    assert "password of client.p12" not in made.output


def test_the_bundle_for_browsers_holds_certificate_authority_and_key(certificates):
    for command in (["-nokeys"], ["-nocerts", "-nodes"]):
        openssl("pkcs12", "-in", certificates.client_p12, "-passin", "pass:secret", *command)
    out = openssl("pkcs12", "-in", certificates.client_p12, "-passin", "pass:secret", "-nodes").stdout
    assert out.count("BEGIN CERTIFICATE") == 2 and out.count("BEGIN PRIVATE KEY") == 1
    assert "friendlyName: press-4" in out
    assert openssl("pkcs12", "-in", certificates.client_p12, "-passin", "pass:wrong", check=False).returncode > 0


def test_cert_init_overwrites_nothing(certificates):
    before = {path: path.read_bytes() for path in certificates.folder.iterdir()}
    again = subprocess.run(
        [drawbridge_binary(), "cert", "init", str(certificates.folder)], capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 1 and "nothing was written" in again.stderr
    assert {path: path.read_bytes() for path in certificates.folder.iterdir()} == before


@pytest.mark.parametrize(
    "subject",
    [
        "/CN=press-4",
        "/C=DE/O=Smith, Sons + Co/OU=#1 /CN=press 4",
        "/O=\"Ex<am>ple\";/CN=back\\\\slash",
        "/DC=com/DC=example/UID=7/CN=x",
        "/CN=Jürgen/emailAddress=j@example.com",
        "/O=Example/OU=a+UID=5/CN=both",
        "/serialNumber=12/title=Dr/GN=A/SN=B/L=here/ST=there/street=S 1/1.2.3.4=odd/CN=all",
    ],
)
def test_a_subject_is_written_as_openssl_writes_it(brokers, tmp_path, subject):
    key, certificate = tmp_path / "own.key", tmp_path / "own.crt"
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-multivalue-rdn", "-utf8",
        "-subj", subject, "-keyout", key, "-out", certificate,
    )  # fmt: skip
    expected = openssl("x509", "-in", certificate, "-noout", "-subject", "-nameopt", "RFC2253").stdout
    node = brokers.drawbridge("a", links=f'[[listener]]\n[listener.tls]\ncert = "{certificate}"\nkey = "{key}"\n')
    output = check(node).stdout
    assert f"certificate of {expected.removeprefix('subject=').strip()}, by " in output, (expected, output)


# ------------------------------------------------------------------------------------------------- clients of others


def test_the_lines_of_mosquittos_programs_work_on_the_port_with_certificates(mutual):
    options = ["-h", "localhost", "-p", str(mutual.tls_port), *mutual.certificates.mosquitto()]
    subscribe = ["-R", "-c", "-i", "client_id_test_10007", "-t", "user/10007", "-u", "u", "-P", "p", "-d", "-q", "1"]
    first = subprocess.run([program("mosquitto_sub"), *options, *subscribe, "-E"], capture_output=True, timeout=30)
    assert first.returncode == 0, first
    publish = ["-t", "user/10007", "-m", "hello", "-q", "1"]
    subprocess.run([program("mosquitto_pub"), *options, *publish], check=True, timeout=30)
    second = subprocess.run(
        [program("mosquitto_sub"), *options, *subscribe, "-C", "1"], capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 0 and "hello" in second.stdout.splitlines(), second


def test_one_more_client_of_the_same_authority_comes_in(mutual):
    folder = mutual.certificates.folder
    made = subprocess.run(
        [drawbridge_binary(), "cert", "client", str(folder), "press-5"], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0 and "password of press-5.p12: " in made.stdout, made
    files = ["--cafile", mutual.certificates.ca_crt, "--cert", folder / "press-5.crt", "--key", folder / "press-5.key"]
    options = ["-h", "localhost", "-p", str(mutual.tls_port), "-t", "a", "-m", "x", "-q", "1"]
    subprocess.run([program("mosquitto_pub"), *options, *files], check=True, timeout=30)
    password = made.stdout.split()[-1]
    openssl("pkcs12", "-in", folder / "press-5.p12", "-passin", f"pass:{password}", "-nokeys")


def test_nobody_comes_in_without_a_good_certificate(mutual, tmp_path):
    stranger = Certificates(tmp_path / "stranger", "--client", "press-4")
    # Of another authority of the same name, with the right name.
    forged = ["--cafile", mutual.certificates.ca_crt, "--cert", stranger.client_crt, "--key", stranger.client_key]
    for certificate in (mutual.certificates.mosquitto(client=False), forged):
        options = ["-h", "localhost", "-p", str(mutual.tls_port), *certificate]
        result = subprocess.run([program("mosquitto_pub"), *options, "-t", "a", "-m", "x"], capture_output=True, timeout=30)
        assert result.returncode != 0, result
    # The client may know before the log does.
    for reason in ("no client certificate was shown", "is not trusted"):
        eventually(f"the log says: {reason}", lambda text=reason: text in mutual.node.log())
    assert mutual.node.health()["connections"] == 0


def test_the_name_in_a_certificate_is_enough_to_come_in_by_mqtt_and_http(mutual):
    files = mutual.certificates
    with mutual.wire("device", client=True, clean=True) as device:
        device.subscribe("room/1", 1)
        command = [program("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x"]
        shown = ["--cacert", files.ca_crt, "--cert", files.client_crt, "--key", files.client_key]
        url = f"https://localhost:{mutual.web_tls_port}/v1/publish/room/1?qos=1"
        told = subprocess.run([*command, *shown, url], capture_output=True, text=True, timeout=30)
        assert told.stdout == "200", told
        assert device.publication(device.read()).payload == b"x"
        # Whoever shows nothing, at the doors without TLS, is nobody.
        plain = f"{mutual.node.web}/v1/publish/room/1?qos=1"
        assert subprocess.run([*command, plain], capture_output=True, text=True, timeout=30).stdout == "401"
        with pytest.raises(AssertionError, match="refused with 0x87"):
            Wire(mutual.node.port, "nobody", clean=True)


def test_the_server_is_who_it_says(doors, tmp_path):
    stranger = Certificates(tmp_path / "stranger")
    for context, name in [(stranger.context(), "localhost"), (doors.certificates.context(), "other.example.com")]:
        with pytest.raises(ssl.SSLCertVerificationError):
            TLSWire(doors.tls_port, "x", context=context, server_name=name)
    with TLSWire(doors.tls_port, "x", context=doors.certificates.context(), server_name="127.0.0.1"):
        pass


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("transport", ["tcp", "websockets"])
def test_paho_gets_large_messages_whole_over_tls_and_wss(doors, version, transport):
    client = paho.Client(CallbackAPIVersion.VERSION2, "p", protocol=version, transport=transport)
    client.tls_set(doors.certificates.ca_crt)
    subscribed, messages = threading.Event(), []
    client.on_connect = lambda *_: client.subscribe("big/#", 2)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda client, data, message: messages.append(message.payload)
    client.connect("localhost", doors.web_tls_port if transport == "websockets" else doors.tls_port)
    client.loop_start()
    try:
        assert subscribed.wait(20)
        payloads = [bytes([i]) * size for i, size in enumerate([0, 1, 16_383, 16_384, 16_385, 100_000, 900_000])]
        for number, payload in enumerate(payloads):
            client.publish(f"big/{number}", payload, 2).wait_for_publish(30)
        eventually(lambda: f"all arrive; {[len(m) for m in messages]} did", lambda: len(messages) >= len(payloads))
        assert messages == payloads
    finally:
        client.disconnect()
        client.loop_stop()


def test_curl_publishes_and_reads_over_https(doors):
    with doors.wire("reader", clean=True) as reader:
        reader.subscribe("room/1", 1)
        url = f"https://localhost:{doors.web_tls_port}"
        command = [program("curl"), "-sS", "--fail", "--cacert", doors.certificates.ca_crt]
        told = subprocess.run([*command, "-d", "hello", f"{url}/v1/publish/room/1?qos=1"], capture_output=True, timeout=30)
        assert json.loads(told.stdout)["matched"] == 1, told
        assert reader.publication(reader.read()).payload == b"hello"
        page = subprocess.run([*command, f"{url}/"], capture_output=True, text=True, timeout=30)
        assert page.stdout.startswith("<!doctype html>"), page
        health = json.loads(subprocess.run([*command, f"{url}/healthz"], capture_output=True, timeout=30).stdout)
        assert [(c["of"], c["status"]) for c in health["certificates"]] == [
            ("listener mqtts", "ok"),
            ("listener wss", "ok"),
        ]
        without = subprocess.run([program("curl"), "-sS", url], capture_output=True, text=True, timeout=30)
        assert without.returncode == 60, "curl trusts a certificate of nobody"


# -------------------------------------------------------------------------------------------------------- the handshake


def handshake(port, certificates, *options, input=""):
    return openssl(
        "s_client", "-connect", f"localhost:{port}", "-CAfile", certificates.ca_crt, *options, input=input, check=False
    )


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_versions_below_1_2_are_refused(doors, version):
    answer = handshake(doors.tls_port, doors.certificates, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in answer.stderr, answer
    for good in ("-tls1_2", "-tls1_3"):
        assert "Verify return code: 0" in handshake(doors.tls_port, doors.certificates, good).stdout


def test_renegotiation_is_refused_and_the_node_goes_on(doors):
    process = subprocess.Popen(
        [program("openssl"), "s_client", "-connect", f"localhost:{doors.tls_port}", "-CAfile", doors.certificates.ca_crt,
         "-tls1_2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if "Verify return code: 0" in line:
            break
    started = time.monotonic()
    # "R" makes s_client renegotiate; a server that agrees would go on to wait for CONNECT.
    rest, _ = process.communicate("R\n", timeout=30)
    assert "RENEGOTIATING" in rest and time.monotonic() - started < 5, rest
    with doors.wire("after"):
        pass


def test_alpn_names_what_each_port_speaks(doors):
    for port, offered, chosen in [
        (doors.tls_port, "mqtt", "mqtt"),
        (doors.web_tls_port, "h2,http/1.1", "http/1.1"),
    ]:
        assert f"ALPN protocol: {chosen}" in handshake(port, doors.certificates, "-alpn", offered).stdout
    # Something else, or nothing, is served too.
    for options in (["-alpn", "foo"], []):
        assert "No ALPN negotiated" in handshake(doors.tls_port, doors.certificates, *options).stdout


def test_a_session_that_is_resumed_keeps_what_the_certificate_said(mutual, tmp_path):
    files = ["-cert", mutual.certificates.client_crt, "-key", mutual.certificates.client_key, "-tls1_2"]
    session = tmp_path / "session"
    handshake(mutual.tls_port, mutual.certificates, *files, "-sess_out", session)
    resumed = handshake(mutual.tls_port, mutual.certificates, *files, "-sess_in", session, "-msg")
    assert "Reused, TLSv1.2" in resumed.stdout, resumed.stdout
    assert "has no usable name" not in mutual.node.log()


def test_what_is_no_tls_is_closed_at_once(doors):
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", b"\x16\x03\x01\xff\xff" + b"\0" * 99):
        for port in (doors.tls_port, doors.web_tls_port):
            with socket.create_connection(("127.0.0.1", port), 10) as line:
                line.sendall(sent)
                line.settimeout(8)
                try:
                    while line.recv(1000):
                        pass
                except ConnectionError:
                    pass
    with doors.wire("after"):
        pass


KEYS = {
    "RSA, PKCS#1": (["rsa", "-traditional", "-in", "root.key"], "BEGIN RSA PRIVATE KEY"),
    "RSA, PKCS#8": (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "BEGIN PRIVATE KEY"),
    "P-384, SEC 1": (["ecparam", "-name", "secp384r1", "-genkey"], "BEGIN EC PARAMETERS"),
    "Ed25519": (["genpkey", "-algorithm", "ed25519"], "BEGIN PRIVATE KEY"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_certificates_that_openssl_made_are_served_with_their_chain(brokers, tmp_path, kind):
    """As people have them: a key of any usual form, and an authority between it and the root."""
    folder = tmp_path / "made"
    folder.mkdir()
    command, beginning = KEYS[kind]
    pair = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *pair, "-subj", "/CN=Root", "-keyout", folder / "root.key", "-out", folder / "ca.crt")
    openssl("req", *pair, "-subj", "/CN=Between", "-keyout", folder / "between.key", "-out", folder / "between.csr")
    extensions = folder / "extensions"
    extensions.write_text("basicConstraints=critical,CA:TRUE\n")
    sign = ["x509", "-req", "-CAcreateserial", "-extfile", extensions, "-days", "9"]
    root = ["-CA", folder / "ca.crt", "-CAkey", folder / "root.key"]
    openssl(*sign, *root, "-in", folder / "between.csr", "-out", folder / "between.crt")
    command = [str(folder / word) if word.endswith(".key") else word for word in command]
    openssl(*command, "-out", folder / "server.key")
    assert beginning in (folder / "server.key").read_text()
    openssl("req", "-new", "-key", folder / "server.key", "-subj", "/CN=x", "-out", folder / "server.csr")
    extensions.write_text("subjectAltName=DNS:localhost\n")
    between = ["-CA", folder / "between.crt", "-CAkey", folder / "between.key"]
    openssl(*sign, *between, "-in", folder / "server.csr", "-out", folder / "leaf.crt")
    leaf = openssl("x509", "-in", folder / "leaf.crt", "-text").stdout  # with the text that some tools leave in
    (folder / "server.crt").write_text(leaf + (folder / "between.crt").read_text())

    made = Certificates.__new__(Certificates)
    made.folder = folder
    doors = Doors(brokers, made).start()
    context = made.context()
    with TLSWire(doors.tls_port, "x", context=context) as wire:
        wire.subscribe("a", 1)


# ----------------------------------------------------------------------------------------------------- one deadline


class Half:
    """Connections that stop half way, each at another step."""

    def __init__(self, doors):
        self.doors = doors
        context = doors.certificates.context()
        context.check_hostname = False
        self.plain = lambda port: socket.create_connection(("127.0.0.1", port), 10)
        self.tls = lambda port: context.wrap_socket(self.plain(port))
        # The first bytes of a ClientHello, as a client would send them.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            context.wrap_bio(incoming, outgoing).do_handshake()
        except ssl.SSLWantReadError:
            self.hello = outgoing.read()

    def tcp(self, port):
        return self.plain(port)

    def half_hello(self, port):
        line = self.plain(port)
        line.sendall(self.hello[:100])
        return line

    def hello_only(self, port):
        line = self.plain(port)
        line.sendall(self.hello)
        return line

    def shaken(self, port):
        return self.tls(port)

    def half_connect(self, port):
        line = self.tls(port)
        line.sendall(b"\x10\x20\x00\x04MQ" if port == self.doors.tls_port else b"GET /mqtt HTTP/1.1\r\nHo")
        return line

    def upgraded(self, port):
        line = self.tls(port)
        line.sendall(upgrade(port))
        assert b" 101 " in line.recv(4096)
        return line


def closes_within(line, started, least, most):
    """Reads until the end, and says whether it came in that time after `started`."""
    line.settimeout(most + 5)
    try:
        while line.recv(4096):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    took = time.monotonic() - started
    line.close()
    return least <= took <= most, took


@pytest.mark.parametrize("step", ["tcp", "half_hello", "hello_only", "shaken", "half_connect", "upgraded"])
def test_whoever_stops_half_way_is_closed_by_one_deadline_and_others_notice_nothing(brokers, certificates, step):
    doors = Doors(brokers, certificates, more='[limits]\nconnect_timeout = "2s"\n').start()
    half = Half(doors)
    ports = [doors.web_tls_port] if step == "upgraded" else [doors.tls_port, doors.web_tls_port]
    lines = []
    for port in ports:
        for _ in range(20):
            # The pause before the last step is counted too: it is one deadline.
            lines.append((time.monotonic(), getattr(half, step)(port)))
    with doors.wire("other", clean=True) as other:
        slowest = 0
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            asked = time.monotonic()
            other.send(PINGREQ)
            assert other.read().kind == PINGRESP
            slowest = max(slowest, time.monotonic() - asked)
    assert slowest < 0.5, slowest
    for started, line in lines:
        # A second more for the goodbye of TLS that nobody answers.
        is_in_time, took = closes_within(line, started, 1.5, 4.5)
        assert is_in_time, f"{step} was closed after {took:.1f} s"
    eventually(lambda: f"{doors.node.health()}", lambda: doors.node.health()["connections"] == 0)


def test_drips_do_not_move_the_deadline(brokers, certificates):
    doors = Doors(brokers, certificates, more='[limits]\nconnect_timeout = "2s"\n').start()
    half = Half(doors)
    line = half.plain(doors.tls_port)
    started = time.monotonic()
    sent = 0
    with pytest.raises(OSError):
        while time.monotonic() < started + 10:
            line.sendall(half.hello[sent : sent + 1])
            sent += 1
            time.sleep(0.05)
    assert 1.5 < time.monotonic() - started < 4.5


def test_the_deadline_runs_on_through_every_layer(brokers, certificates):
    doors = Doors(brokers, certificates, more='[limits]\nconnect_timeout = "2s"\n').start()
    context = certificates.context()
    plain = socket.create_connection(("127.0.0.1", doors.web_tls_port), 10)
    started = time.monotonic()
    time.sleep(0.7)
    line = context.wrap_socket(plain, server_hostname="localhost")
    time.sleep(0.7)
    line.sendall(upgrade(doors.web_tls_port))
    assert b" 101 " in line.recv(4096)
    is_in_time, took = closes_within(line, started, 1.5, 3.2)
    assert is_in_time, f"closed after {took:.1f} s"


# -------------------------------------------------------------------------------------------------------- taking leave


def test_version_5_is_told_why_before_a_connection_with_tls_ends(doors):
    with doors.wire("bad", clean=True) as wire:
        wire.send(PUBLISH, 0, text("a/#") + b"\0" + b"x")
        packet = wire.read()
        assert packet.kind == DISCONNECT and packet.body[0] == 0x90, packet
        with pytest.raises(Gone):
            wire.read()
    with doors.wire("last", clean=True) as wire:
        assert doors.node.stop() == 0
        packet = wire.read()
        assert packet.kind == DISCONNECT and packet.body[0] == 0x8B, packet


def test_a_stop_does_not_wait_for_half_a_handshake(doors):
    half = Half(doors)
    lines = [half.hello_only(port) for port in (doors.tls_port, doors.web_tls_port) for _ in range(5)]
    assert doors.node.stop(seconds=10) == 0
    for line in lines:
        line.close()


def test_connections_are_bounded_in_their_handshake_too(brokers, certificates):
    doors = Doors(brokers, certificates, more="[limits]\nmax_connections = 10\n").start()
    half = Half(doors)
    lines = [half.tcp(doors.tls_port) for _ in range(10)]
    with pytest.raises(OSError):
        doors.wire("one-more")
    for line in lines:
        line.close()
    eventually(lambda: "there is room again", lambda: connects(doors))


def connects(doors):
    try:
        doors.wire("again").close()
        return True
    except (OSError, Gone):
        return False


def test_a_reader_that_takes_nothing_is_bounded_behind_tls(doors):
    """Ten times what its write buffer may hold is published to it; it waits for the rest, others get all."""
    slow = doors.wire("slow", clean=True)
    slow.subscribe("flood", 0)
    before = rss(doors.node.pid)
    with doors.wire("writer", clean=True) as writer, doors.wire("quick", clean=True) as quick:
        quick.subscribe("flood", 1)
        for number in range(200):
            writer.publish("flood", bytes(200_000), 1, number + 1)
            assert writer.read().kind == PUBACK
            packet = quick.read()
            if packet.flags >> 1 & 3:
                quick.answer(PUBACK, quick.publication(packet).packet_id)
    assert rss(doors.node.pid) - before < 40_000, "KiB more than before"
    slow.close()


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


# ------------------------------------------------------------------------------------------------- new certificates


def replace(certificates, folder):
    """New certificates of the same authority's names, but all other; the client trusts the new one from now on."""
    fresh = Certificates(folder, "--client", "press-4")
    for name in ("server.crt", "server.key"):
        shutil.move(fresh.folder / name, certificates.folder / name)
    return fresh


def test_certificates_are_replaced_ten_times_under_500_clients_and_nobody_is_disconnected(doors, tmp_path):
    old = doors.certificates
    clients = [doors.wire(f"c{number}", clean=True) for number in range(500)]
    for client in clients[:20]:
        client.subscribe("all", 1)
    serials = {clients[0].serial}
    for turn in range(10):
        fresh = replace(old, tmp_path / f"turn-{turn}")

        def new_handshake_succeeds():
            try:
                with TLSWire(doors.tls_port, f"new-{turn}", context=fresh.context(), clean=True) as wire:
                    serials.add(wire.serial)
                    return True
            except ssl.SSLCertVerificationError:
                return False

        eventually(lambda: f"certificate {turn} is used{doors.node.log_tail()}", new_handshake_succeeds)
        clients[turn].publish("all", str(turn).encode(), 0)
        for client in clients[:20]:
            publication = client.publication(client.read())
            assert publication.payload == str(turn).encode()
    assert len(serials) == 11, serials
    for client in clients:
        client.send(PINGREQ)
    for client in clients:
        assert client.read().kind == PINGRESP
        client.close()
    assert doors.node.log().count("new certificate") == 20  # two ports


def test_bad_files_keep_the_old_certificate_and_say_so(doors):
    key = doors.certificates.folder / "server.key"
    good = key.read_bytes()
    key.write_bytes(b"nonsense")
    said = "new certificate files cannot be used, the old ones stay"
    eventually(lambda: f"the log says so{doors.node.log_tail()}", lambda: doors.node.log().count(said) == 2)
    with doors.wire("still-served"):
        pass
    key.write_bytes(good)
    eventually(lambda: f"mended{doors.node.log_tail()}", lambda: doors.node.log().count("notice new certificate") == 2)
    assert doors.node.log().count(said) == 2


# ----------------------------------------------------------------------------------------------------- before the start


def test_files_that_cannot_be_used_are_one_clear_line_at_check_and_at_start(brokers, certificates):
    doors = Doors(brokers, certificates)
    shutil.copy(certificates.client_key, certificates.server_key)
    checked = check(doors.node)
    assert checked.returncode == 1 and "server.key is not the key of the first certificate" in checked.stderr, checked
    started = subprocess.run(doors.node.command, capture_output=True, text=True, timeout=30)
    assert started.returncode == 1 and "server.key is not the key" in started.stderr, started


def test_check_says_until_when_certificates_are_valid_and_warns_before(brokers, tmp_path):
    doors = Doors(brokers, Certificates(tmp_path / "tls", "--days", "3"))
    output = check(doors.node).stdout
    assert "warning" in output and "expires in" in output and "listener mqtts: certificate of CN=" in output, output
    doors.start()
    assert [c["status"] for c in doors.node.health()["certificates"]] == ["expiring", "expiring"]
    assert "warning certificate expires in" in doors.node.log()


# --------------------------------------------------------------------------------------------------------------- storm


def test_a_storm_of_500_handshakes_leaves_who_is_connected_alone(doors):
    """Other work on the machine only adds to what is measured, so the best of a few storms counts."""
    slow = []
    for _ in range(5):
        slow.append(slowest_ping_in_a_hundred(doors))
        # On two cores that the storm itself keeps busy, without optimisation: 42 ms.
        if slow[-1] < 0.2:
            return
    raise AssertionError(f"of 100 pings one takes {slow} s")


def slowest_ping_in_a_hundred(doors):
    storm = multiprocessing.Process(target=shake_hands, args=(doors.tls_port, doors.certificates.ca_crt, 500))
    waits = []
    with doors.wire("calm", clean=True) as calm:
        storm.start()
        while storm.is_alive():
            asked = time.monotonic()
            calm.send(PINGREQ)
            assert calm.read().kind == PINGRESP
            waits.append(time.monotonic() - asked)
            time.sleep(0.002)
    assert storm.exitcode == 0, "not all handshakes were done"
    return sorted(waits)[len(waits) * 99 // 100]


def shake_hands(port, ca, count):
    """As many as wanted at the same moment: every connection stands before the first hello."""
    context = ssl.create_default_context(cafile=ca)
    waiting = set()
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port), 10)
        line = context.wrap_socket(line, server_hostname="localhost", do_handshake_on_connect=False)
        line.setblocking(False)
        waiting.add(line)
    kept, until = list(waiting), time.monotonic() + 30
    while waiting and time.monotonic() < until:
        for line in list(waiting):
            try:
                line.do_handshake()
                waiting.discard(line)
            except ssl.SSLWantReadError:
                pass
    sys.exit(len(waiting) and 1 or len(kept) - count)

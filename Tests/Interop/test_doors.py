"""Do all the ways in work for the programs that people have, and is each limit of a door held?"""

import json
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from brokers import Drawbridge, drawbridge_binary, free_port, program
from certificates import Certificates
from driven_clients import NodeWebSocket
from eventually import eventually
from raw_http import Line, ask, upgrade
from wire import DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBLISH, Gone, Wire, text, variable_length

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def listener(name, type, bind, more=""):
    return f'[[listener]]\nname = "{name}"\ntype = "{type}"\nbind = [{", ".join(json.dumps(b) for b in bind)}]\n{more}\n'


def mosquitto_pub(*arguments, succeeds=True):
    result = subprocess.run(
        [program("mosquitto_pub"), *map(str, arguments)], capture_output=True, text=True, timeout=30
    )
    assert (result.returncode == 0) == succeeds, result
    return result.stdout + result.stderr


def curl(*arguments):
    result = subprocess.run(
        [program("curl"), "-sS", "--max-time", "20", *map(str, arguments)], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result
    return result.stdout


def paho_client(transport="tcp", version=MQTTProtocolVersion.MQTTv5, **options):
    """A client of paho that is not connected, and what it was told."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "", protocol=version, transport=transport, **options)
    client.heard = []
    client.on_connect = lambda client, data, flags, reason, properties: client.heard.append((reason, properties))
    return client


def connects(client, *where):
    client.connect(*where)
    client.loop_start()
    try:
        return eventually("CONNACK arrives", lambda: client.heard and client.heard[0])
    finally:
        client.disconnect()
        client.loop_stop()


def is_closed(line, seconds=15):
    line.settimeout(seconds)
    try:
        while line.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


class After(Wire):
    """A client whose connection begins with some bytes of a proxy."""

    def __init__(self, port, client_id, header, **options):
        self.header = header
        super().__init__(port, client_id, **options)

    def connected(self, plain):
        plain.sendall(self.header)
        return plain


def binary_header(address, port=5544, command=1):
    addresses = socket.inet_aton(address) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", port, 1883)
    return SIGNATURE + bytes([0x20 | command, 0x11]) + struct.pack("!H", len(addresses)) + addresses


# ---------------------------------------------------------------------------------------------------------- Unix sockets


def test_a_unix_socket_serves_mosquitto_and_paho_and_curl(brokers, tmp_path):
    path, web = tmp_path / "mqtt.sock", tmp_path / "web.sock"
    more = listener("file", "mqtt", [f"unix:{path}"]) + listener("webfile", "web", [f"unix:{web}"])
    node = brokers.drawbridge(links=more).start()
    with Wire(node.port, "reader") as reader:
        reader.subscribe("t/#", 1)
        mosquitto_pub("--unix", path, "-t", "t/1", "-m", "one", "-q", "1")
        assert reader.publication(reader.read())[:2] == ("t/1", b"one")
        client = paho_client("unix")
        reason, _ = connects(client, str(path))
        assert not reason.is_failure
        reply = curl("--unix-socket", web, "-d", "two", "http://localhost/v1/publish/t/2")
        assert json.loads(reply)["matched"] == 1
        assert reader.publication(reader.read())[:2] == ("t/2", b"two")
    # Killed, it leaves its socket behind, and the next one takes its place; stopped, it takes it away.
    node.kill()
    assert path.exists()
    node.start()
    mosquitto_pub("--unix", path, "-t", "t/1", "-m", "again")
    assert node.stop() == 0
    assert not path.exists() and not web.exists()


def test_a_socket_of_somebody_else_and_a_file_stay_as_they_are(brokers, tmp_path):
    path = tmp_path / "taken.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        node = brokers.drawbridge(links=listener("file", "mqtt", [f"unix:{path}"]))
        result = subprocess.run(node.command, capture_output=True, text=True, timeout=30, cwd=node.folder)
        assert result.returncode != 0 and "somebody listens" in result.stderr + result.stdout, result
    path.unlink()
    path.write_text("precious")
    result = subprocess.run(node.command, capture_output=True, text=True, timeout=30, cwd=node.folder)
    assert result.returncode != 0
    assert path.read_text() == "precious"


# -------------------------------------------------------------------------------------------------------- PROXY protocol

BY_ADDRESS = """
[acl]
on_denied = "disconnect"
on_denied_v3 = "disconnect"
rules = [
  { allow = "both", who = { address = "203.0.113.0/24" }, topics = ["#"] },
]
"""


@pytest.fixture
def proxied(brokers):
    ports = {name: free_port() for name in ("v1", "v2", "web")}
    more = "".join(
        listener(f"{name}-door", "web" if name == "web" else "mqtt", [f"127.0.0.1:{port}"], f'proxy_protocol = "{kind}"')
        for (name, port), kind in zip(ports.items(), ["v1", "v2", "any"])
    )
    node = brokers.drawbridge(more=BY_ADDRESS, links=more).start()
    node.ports = ports
    return node


@pytest.mark.parametrize(
    "door, header, is_allowed",
    [
        ("v1", b"PROXY TCP4 203.0.113.7 192.0.2.1 5544 1883\r\n", True),
        ("v1", b"PROXY TCP4 198.51.100.7 192.0.2.1 5544 1883\r\n", False),
        ("v1", b"PROXY TCP6 2001:db8::7 2001:db8::1 5544 1883\r\n", False),
        ("v1", b"PROXY UNKNOWN\r\n", False),
        ("v2", binary_header("203.0.113.7"), True),
        ("v2", binary_header("198.51.100.7"), False),
        ("v2", binary_header("203.0.113.7", command=0), False),
    ],
)
def test_behind_a_proxy_rules_see_the_clients_own_address(proxied, door, header, is_allowed):
    with After(proxied.ports[door], "c", header, clean=True) as client:
        client.publish("t", b"x", 1, 1)
        assert client.read().kind == (PUBACK if is_allowed else DISCONNECT)


def test_the_log_names_the_client_and_its_proxy(proxied):
    with After(proxied.ports["v2"], "c", binary_header("203.0.113.7"), clean=True):
        eventually("the log names both", lambda: "203.0.113.7:5544, proxied by" in proxied.log())


@pytest.mark.parametrize(
    "door, bytes_",
    [
        ("v1", b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0"),
        ("v1", binary_header("203.0.113.7")),
        ("v1", b"PROXY TCP4 203.0.113.7 192.0.2.1 5544\r\n"),
        ("v2", b"PROXY UNKNOWN\r\n"),
        ("v2", binary_header("203.0.113.7")[:-4] + b"\x10\x0c\0\x04"[:2]),
        ("web", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
)
def test_without_the_header_or_with_a_broken_one_the_connection_is_closed(brokers, door, bytes_):
    ports = {name: free_port() for name in ("v1", "v2", "web")}
    kinds = {"v1": "v1", "v2": "v2", "web": "any"}
    more = "[limits]\nconnect_timeout = \"2s\"\n"
    doors = "".join(
        listener(f"{name}-door", "web" if name == "web" else "mqtt", [f"127.0.0.1:{port}"], f'proxy_protocol = "{kinds[name]}"')
        for name, port in ports.items()
    )
    brokers.drawbridge(more=more, links=doors).start()
    with socket.create_connection(("127.0.0.1", ports[door]), 10) as line:
        line.sendall(bytes_)
        assert is_closed(line)


def test_curl_speaks_the_proxy_protocol_to_the_web_port(proxied):
    url = f"http://127.0.0.1:{proxied.ports['web']}/healthz"
    assert json.loads(curl("--haproxy-protocol", url))["status"]


def test_only_trusted_proxies_may_speak_for_others(brokers):
    port = free_port()
    more = listener("p", "mqtt", [f"127.0.0.1:{port}"], 'proxy_protocol = "v1"\ntrusted_proxies = ["127.0.0.2"]')
    brokers.drawbridge(links=more).start()
    header = b"PROXY TCP4 203.0.113.7 192.0.2.1 5544 1883\r\n"
    with pytest.raises((Gone, OSError)):
        After(port, "c", header)
    with socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.2", 0)) as line:
        line.sendall(header + b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c")
        line.settimeout(10)
        assert line.recv(4) == b"\x20\x02\0\0"


def test_forwarded_for_counts_when_a_trusted_proxy_says_it(brokers):
    web = free_port()
    more = listener("w", "web", [f"127.0.0.1:{web}"], 'trusted_proxies = ["127.0.0.1"]')
    node = brokers.drawbridge(more=BY_ADDRESS, links=more).start()
    for header, status in [("203.0.113.7", 200), ("198.51.100.1", 403), ("203.0.113.7, 198.51.100.1", 403), (None, 403)]:
        headers = [f"X-Forwarded-For: {header}"] if header else []
        assert ask(web, "POST", "/v1/publish/t", b"x", headers).status == status, header
    # Here nobody is trusted to say so.
    assert ask(node.web_port, "POST", "/v1/publish/t", b"x", ["X-Forwarded-For: 203.0.113.7"]).status == 403
    client = paho_client("websockets")
    client.ws_set_options("/mqtt", {"X-Forwarded-For": "203.0.113.7"})
    reason, _ = connects(client, "127.0.0.1", web)
    assert not reason.is_failure
    eventually("the log names both", lambda: "203.0.113.7, forwarded by" in node.log())


# ------------------------------------------------------------------------------------------------------ one port for all


@pytest.fixture
def one(brokers, tmp_path):
    certificates = Certificates(tmp_path / "tls")
    port = free_port()
    tls = f'tls = {{ cert = "{certificates.server_crt}", key = "{certificates.server_key}" }}'
    more = listener("one", "mux", [f"127.0.0.1:{port}"], f'serve = ["mqtt", "web"]\n{tls}')
    node = brokers.drawbridge(more='[limits]\nconnect_timeout = "3s"\n', links=more).start()
    node.one, node.certificates = port, certificates
    return node


def test_one_port_serves_mqtt_tls_websocket_and_http(one):
    port, authority = one.one, one.certificates.ca_crt
    with Wire(one.port, "reader") as reader:
        reader.subscribe("t", 1)

        def arrives(payload):
            assert reader.publication(reader.read())[:2] == ("t", payload)

        mosquitto_pub("-p", port, "-t", "t", "-m", "mqtt", "-q", "1")
        arrives(b"mqtt")
        mosquitto_pub("--cafile", authority, "-h", "localhost", "-p", port, "-t", "t", "-m", "mqtts", "-q", "1")
        arrives(b"mqtts")
        curl("-d", "http", f"http://127.0.0.1:{port}/v1/publish/t")
        arrives(b"http")
        curl("--cacert", authority, "-d", "https", f"https://localhost:{port}/v1/publish/t")
        arrives(b"https")
        for scheme in ("ws", "wss"):
            result = subprocess.run(
                [drawbridge_binary(), "pub", "-L", f"{scheme}://localhost:{port}/mqtt", "-t", "t", "-m", scheme, "-q", "1"]
                + (["--cafile", authority] if scheme == "wss" else []),
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert result.returncode == 0, result
            arrives(scheme.encode())
    for is_encrypted in (False, True):
        client = paho_client("websockets")
        client.ws_set_options("/mqtt")
        if is_encrypted:
            client.tls_set(authority)
        reason, _ = connects(client, "localhost", port)
        assert not reason.is_failure


def test_who_says_nothing_or_nothing_known_leaves_one_port_in_time(one):
    start = time.monotonic()
    lines = []
    for first in (b"", b"\x16", b"\x16\x03\x01", b"\x10", b"GET / HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x01\x02", b"get /"):
        line = socket.create_connection(("127.0.0.1", one.one), 10)
        line.sendall(first)
        lines.append(line)
    with ssl.create_default_context(cafile=one.certificates.ca_crt).wrap_socket(
        socket.create_connection(("127.0.0.1", one.one), 10), server_hostname="localhost"
    ) as silent:
        for line in lines:
            assert is_closed(line)
            line.close()
        try:
            assert silent.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            pass
    assert time.monotonic() - start < 8
    mosquitto_pub("-p", one.one, "-t", "t", "-m", "still here")


def test_what_is_only_in_tls_is_not_in_the_clear(brokers, tmp_path):
    certificates = Certificates(tmp_path / "tls")
    port, own = free_port(), free_port()
    tls = f'tls = {{ cert = "{certificates.server_crt}", key = "{certificates.server_key}" }}'
    more = (
        listener("mqtts", "mqtt", [f"127.0.0.1:{own}"], tls)
        + listener("one", "mux", [f"127.0.0.1:{port}"], 'serve = ["mqtts", "web"]')
    )
    brokers.drawbridge(links=more).start()
    mosquitto_pub("--cafile", certificates.ca_crt, "-h", "localhost", "-p", port, "-t", "t", "-m", "x", "-q", "1")
    assert json.loads(curl(f"http://127.0.0.1:{port}/healthz"))["status"]
    mosquitto_pub("-p", port, "-t", "t", "-m", "x", "-q", "1", succeeds=False)


# ----------------------------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(
    "rate, count, size, seconds",
    [
        ('messages = "200/s"', 1_000, 20, (1_000 - 200) / 200),
        ('bytes = "100KiB/s"', 500, 1_024, 500 * 1_034 / 102_400 - 1),
        ('bytes = "100KiB/s", burst = "256KiB"', 500, 1_024, 500 * 1_034 / 102_400 - 2.56),
    ],
)
def test_whoever_is_too_fast_is_slowed_down_and_loses_nothing(brokers, rate, count, size, seconds):
    port = free_port()
    more = listener("slow", "mqtt", [f"127.0.0.1:{port}"], f"rate = {{ {rate} }}")
    node = brokers.drawbridge(links=more).start()
    with Wire(node.port, "reader") as reader, Wire(port, "fast", clean=True, keep_alive=2) as fast:
        reader.subscribe("t", 0)
        start = time.monotonic()
        sending = threading.Thread(
            target=lambda: [fast.publish("t", number.to_bytes(4, "big") + bytes(size - 4)) for number in range(count)]
        )
        sending.start()
        for number in range(count):
            _, payload = reader.publication(reader.read())[:2]
            assert int.from_bytes(payload[:4], "big") == number
        taken = time.monotonic() - start
        sending.join()
        assert seconds * 0.9 <= taken <= seconds * 1.1 + 0.3, f"{taken:.2f} s, expected {seconds:.2f}"
        # Nor did its keep-alive run while we did not read.
        fast.send(PINGREQ)
        assert fast.read().kind == PINGRESP


def test_a_fast_poster_of_http_is_slowed_down_too(brokers):
    port = free_port()
    node = brokers.drawbridge(links=listener("slow", "web", [f"127.0.0.1:{port}"], 'rate = { messages = "50/s" }')).start()
    with Line(port) as line:
        start = time.monotonic()
        one = f"POST /v1/publish/t HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1\r\n\r\nx".encode()
        line.send(one * 150)
        for _ in range(150):
            assert line.reply().status == 200
        assert 1.7 <= time.monotonic() - start <= 3


def test_a_slow_door_does_not_slow_the_others(brokers):
    port = free_port()
    node = brokers.drawbridge(links=listener("slow", "mqtt", [f"127.0.0.1:{port}"], 'rate = { bytes = "1KiB/s" }')).start()
    with Wire(port, "fast", clean=True) as fast, Wire(node.port, "other", clean=True) as other:
        threading.Thread(target=lambda: fast.socket.sendall(b"\x30\x7f\0\1t\0" + bytes(123)), daemon=True).start()
        for _ in range(20):
            start = time.monotonic()
            other.send(PINGREQ)
            assert other.read().kind == PINGRESP
            assert time.monotonic() - start < 0.5


# ---------------------------------------------------------------------------------------------------------------- limits


def test_versions_of_mqtt_that_a_door_does_not_speak_are_refused(brokers):
    port = free_port()
    brokers.drawbridge(links=listener("five", "mqtt", [f"127.0.0.1:{port}"], 'versions = ["5"]')).start()
    mosquitto_pub("-p", port, "-V", "5", "-t", "t", "-m", "x", "-q", "1")
    for version in ("mqttv31", "mqttv311"):
        said = mosquitto_pub("-p", port, "-V", version, "-t", "t", "-m", "x", "-q", "1", succeeds=False)
        assert "protocol version" in said, said


def test_version_5_is_told_of_every_limit_and_held_to_it(brokers):
    port = free_port()
    limits = "max_qos = 1\nretain_available = false\nwildcards = false\nmax_packet = \"4KiB\"\nreceive_maximum = 3\n"
    more = listener("tight", "mqtt", [f"127.0.0.1:{port}"], "[listener.limits]\n" + limits + "max_topic = 20\nmax_filters = 2\n")
    node = brokers.drawbridge(links=more).start()
    _, told = connects(paho_client(), "127.0.0.1", port)
    assert told.MaximumQoS == 1 and told.RetainAvailable == 0 and told.WildcardSubscriptionAvailable == 0
    assert told.MaximumPacketSize == 4096 and told.ReceiveMaximum == 3
    _, free = connects(paho_client(), "127.0.0.1", node.port)
    assert not hasattr(free, "MaximumQoS") and not hasattr(free, "RetainAvailable")

    def publish(topic="t", payload=b"x", **options):
        return lambda client: client.publish(topic, payload, **options)

    def subscribe(*filters):
        body = b"\0\1\0" + b"".join(text(filter) + b"\0" for filter in filters)
        return lambda client: client.send(8, 2, body)

    for reason, act in [
        (0x9B, publish(qos=2, packet_id=1)),
        (0x9A, publish(retain=True)),
        (0x95, publish(payload=bytes(4096))),
        (0x90, publish(topic="t" * 21)),
        (0x8F, subscribe("t" * 21)),
        (0xA2, subscribe("a", "b/+")),
        (0x97, subscribe("a", "b", "c")),
    ]:
        with Wire(port, "c", clean=True) as client:
            act(client)
            packet = client.read()
            assert (packet.kind, packet.body[:1]) == (DISCONNECT, bytes([reason])), hex(reason)
    # mosquitto_pub believes what it is told.
    assert "QoS not supported" in mosquitto_pub("-p", port, "-V", "5", "-t", "t", "-m", "x", "-q", "2")
    assert not mosquitto_pub("-p", port, "-V", "5", "-t", "t", "-m", "x", "-q", "1", "-r")


def test_connections_of_one_address_are_counted_over_all_doors(brokers):
    port = free_port()
    more = '[limits]\nper_address = 3\n'
    node = brokers.drawbridge(more=more, links=listener("p", "mqtt", [f"127.0.0.1:{port}"], 'proxy_protocol = "v1"')).start()
    first, second = Wire(node.port, "1", clean=True), Wire(node.port, "2", clean=True)
    with Line(node.web_port) as third:
        third.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert third.reply("GET").status == 200
        with pytest.raises((Gone, OSError)):
            Wire(node.port, "4", clean=True)
        # Others come as before, the first through a proxy on this machine.
        with After(port, "5", b"PROXY TCP4 203.0.113.7 192.0.2.1 5544 1883\r\n", clean=True):
            pass
    first.close()
    second.close()

    def comes():
        try:
            Wire(node.port, "6", clean=True).close()
            return True
        except (Gone, OSError):
            return False

    eventually("who left makes room", comes)


def test_connections_of_the_node_are_counted(brokers):
    node = brokers.drawbridge(more="[limits]\nmax_connections = 3\n").start()
    lines = [Wire(node.port, str(number), clean=True) for number in range(3)]
    with pytest.raises((Gone, OSError)):
        Wire(node.port, "one too many", clean=True)
    lines.pop().close()
    eventually("the log says why", lambda: "3 connections are open" in node.log())


def test_connections_of_a_listener_are_counted_over_its_addresses_and_through_a_mux(brokers):
    one, two, mux = free_port(), free_port(), free_port()
    few = listener("few", "mqtt", [f"127.0.0.1:{one}", f"127.0.0.1:{two}"], "[listener.limits]\nmax_connections = 2\n")
    node = brokers.drawbridge(links=few + listener("mux", "mux", [f"127.0.0.1:{mux}"], 'serve = ["few"]')).start()
    inside = [Wire(one, "1", clean=True), Wire(mux, "2", clean=True)]
    for port in (one, two, mux):
        with pytest.raises((Gone, OSError)):
            Wire(port, "one too many", clean=True)
    with Wire(node.port, "by another door", clean=True):
        pass
    inside.pop().close()

    def comes():
        try:
            inside.append(Wire(two, "3", clean=True))
            return True
        except (Gone, OSError):
            return False

    eventually("who left makes room", comes)


def test_a_door_lets_in_only_who_is_allowed(brokers):
    port = free_port()
    brokers.drawbridge(links=listener("few", "mqtt", [f"127.0.0.1:{port}"], 'allow = ["127.0.0.2/31"]')).start()
    with pytest.raises((Gone, OSError)):
        Wire(port, "c")
    with socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.3", 0)) as line:
        line.sendall(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c")
        line.settimeout(10)
        assert line.recv(4) == b"\x20\x02\0\0"


def test_many_who_come_at_once_wait_and_all_come_in(brokers):
    port = free_port()
    brokers.drawbridge(links=listener("calm", "mqtt", [f"127.0.0.1:{port}"], 'rate = { connects = "20/s" }')).start()
    start = time.monotonic()
    lines = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(40)]
    for number, line in enumerate(lines):
        line.sendall(b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02" + f"{number:02}".encode())
    for line in lines:
        line.settimeout(20)
        assert line.recv(4) == b"\x20\x02\0\0"
        line.close()
    assert 1.5 <= time.monotonic() - start <= 4


# ------------------------------------------------------------------------------------------------------------- WebSocket


def frame(payload, opcode=2, final=True, reserved=0, masked=True, length=None):
    """A frame as a client sends it, or should not. `length` is how it is written: 7, 16 or 64 bits."""
    size = len(payload)
    length = length or (7 if size < 126 else 16 if size < 65536 else 64)
    if length == 7:
        written = bytes([size])
    else:
        written = b"\x7e" + struct.pack("!H", size) if length == 16 else b"\x7f" + struct.pack("!Q", size)
    head = bytes([final << 7 | reserved << 4 | opcode, written[0] | masked << 7]) + written[1:]
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read_frame(line):
    """Opcode and payload of a frame of the server."""
    first, size = line.file.read(2)
    assert not size & 0x80, "a server masks nothing"
    if size == 126:
        size = struct.unpack("!H", line.file.read(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", line.file.read(8))[0]
    return first & 0x7F, line.file.read(size)


@pytest.fixture
def socket_line(drawbridge):
    """A WebSocket that has said CONNECT."""
    with Line(drawbridge.web_port) as line:
        line.send(upgrade(drawbridge.web_port))
        assert line.reply("GET").status == 101
        line.send(frame(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c"))
        assert read_frame(line) == (2, b"\x20\x02\0\0")
        yield line


PING = b"\xc0\0"
PONG = b"\xd0\0"


def test_packets_and_frames_need_not_align(socket_line):
    line = socket_line
    line.send(frame(PING * 3))
    answers = b""
    while len(answers) < 6:
        answers += read_frame(line)[1]
    assert answers == PONG * 3
    # One packet over three frames of one message, with a ping between them, and over two messages.
    subscribe = b"\x82\x06\0\1\0\1t\0"
    line.send(frame(subscribe[:1], final=False) + frame(b"are you there", opcode=9))
    assert read_frame(line) == (10, b"are you there")
    line.send(frame(subscribe[1:3], opcode=0, final=False) + frame(b"", opcode=0, final=False) + frame(subscribe[3:], opcode=0))
    assert read_frame(line) == (2, b"\x90\x03\0\1\0")
    line.send(frame(PING[:1]) + frame(b"") + frame(PING[1:]))
    assert read_frame(line) == (2, PONG)


@pytest.mark.parametrize("farewell", [True, False])
def test_who_says_everything_at_once_over_websocket_and_leaves_is_heard(drawbridge, farewell):
    connect = b"\x10\x11\0\x04MQTT\x04\x00\0\0\0\x05hasty"
    with Wire(drawbridge.port, "watcher", clean=True) as watcher:
        watcher.subscribe("t")
        for number in b"12345":
            with Line(drawbridge.web_port) as line:
                line.send(upgrade(drawbridge.web_port))
                assert line.reply("GET").status == 101
                said = frame(connect + b"\x30\x04\0\x01t" + bytes([number]) + b"\xe0\0")
                line.send(said + (frame(struct.pack("!H", 1000), opcode=8) if farewell else b""))
                if farewell:
                    assert read_frame(line) == (8, struct.pack("!H", 1000))
            assert watcher.publication(watcher.read()).payload == bytes([number])


@pytest.mark.parametrize(
    "sent, code",
    [
        (frame(b"hello", opcode=1), 1003),
        (frame(PING, masked=False), 1002),
        (frame(PING, reserved=4), 1002),
        (frame(PING, reserved=1), 1002),
        (frame(b"", opcode=3), 1002),
        (frame(b"", opcode=11), 1002),
        (frame(b"", opcode=9, final=False), 1002),
        (frame(bytes(126), opcode=9), 1002),
        (frame(PING, length=16), 1002),
        (frame(PING, length=64), 1002),
        (frame(PING, opcode=0), 1002),
        (frame(PING[:1], final=False) + frame(PING[1:]), 1002),
        (frame(b"\3", opcode=8), 1002),
        (frame(struct.pack("!H", 1005), opcode=8), 1002),
        (frame(struct.pack("!H", 1000) + b"\xff", opcode=8), 1007),
        (frame(b"", opcode=8), None),
        (frame(struct.pack("!H", 1000) + b"bye", opcode=8), 1000),
        (frame(struct.pack("!H", 4001), opcode=8), 4001),
        # DISCONNECT of MQTT, and what is no MQTT: an orderly end.
        (frame(b"\xe0\0"), 1000),
        (frame(b"\xf1\0"), 1000),
    ],
)
def test_close_codes_are_those_of_rfc_6455(socket_line, sent, code):
    socket_line.send(sent)
    assert read_frame(socket_line) == (8, struct.pack("!H", code) if code else b"")
    assert socket_line.is_closed()


def test_large_and_small_messages_of_one_turn_have_a_frame_each_and_stay_in_order(drawbridge, socket_line):
    socket_line.send(frame(b"\x82\x06\0\1\0\1t\0"))
    assert read_frame(socket_line) == (2, b"\x90\x03\0\1\0")
    sizes = [1, 16_383, 16_384, 2, 70_000, 70_000, 3, 100]
    packets = []
    for number, size in enumerate(sizes):
        body = text("t") + bytes([number]) * size
        packets.append(b"\x30" + variable_length(len(body)) + body)
    with Wire(drawbridge.port, "writer", version=4, clean=True) as writer, Wire(drawbridge.port, "reader", version=4, clean=True) as reader:
        reader.subscribe("t")
        writer.socket.sendall(b"".join(packets))
        for number, size in enumerate(sizes):
            assert reader.read().body == text("t") + bytes([number]) * size
    for packet in packets:
        assert read_frame(socket_line) == (2, packet)


def test_when_the_node_goes_a_websocket_hears_1001(drawbridge, socket_line):
    drawbridge.process.terminate()
    assert read_frame(socket_line) == (8, struct.pack("!H", 1001))
    assert socket_line.is_closed()


# ------------------------------------------------------------------------------------------------------------ compression


def packed(payload):
    """A compressed message, as a client sends it."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.fixture
def deflating(brokers):
    port = free_port()
    node = brokers.drawbridge(links=listener("z", "web", [f"127.0.0.1:{port}"], 'deflate = { enabled = true, max_inflated = "64KiB" }'))
    node.start()
    with Line(port) as line:
        line.send(upgrade(port, headers=["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]))
        reply = line.reply("GET")
        assert reply.status == 101 and reply.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        line.send(frame(packed(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c"), reserved=4))
        assert read_frame(line) == (2, b"\x20\x02\0\0")
        node.line, node.deflate_port = line, port
        yield node


def test_compressed_messages_travel_both_ways(deflating):
    line = deflating.line
    line.send(frame(packed(b"\x82\x06\0\1\0\1t\0"), reserved=4))
    assert read_frame(line) == (2, b"\x90\x03\0\1\0")
    payload = b"the same again and again, " * 200
    body = b"\0\1t" + payload
    size = bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    line.send(frame(packed(b"\x30" + size + body), reserved=4))
    first, answer = read_frame(line)
    assert first == 0x42 and len(answer) < 200, "it comes back compressed"
    plain = zlib.decompressobj(wbits=-15).decompress(answer + b"\0\0\xff\xff")
    assert plain == b"\x30" + size + body


def test_node_mqtt_compresses_and_is_understood(deflating):
    class Compressing(NodeWebSocket):
        more = {"wsOptions": {"perMessageDeflate": {"threshold": 0}}}

    deflating.web_port = deflating.deflate_port
    client = Compressing(deflating, "n")
    client.subscribe("big", 1)
    for number in range(3):
        client.publish("big", f"{number} all work and no play " * 2_000, 1)
    assert [m.payload for m in client.wait_for(3)] == [f"{number} all work and no play " * 2_000 for number in range(3)]
    client.close()


def test_a_bomb_is_refused_and_costs_its_sender_only(deflating):
    line = deflating.line
    before = resident(deflating.pid)
    with Wire(deflating.port, "canary", clean=True) as canary:
        line.send(frame(packed(bytes(50 << 20)), reserved=4))
        assert read_frame(line) == (8, struct.pack("!H", 1009))
        assert line.is_closed()
        canary.send(PINGREQ)
        assert canary.read().kind == PINGRESP
    assert resident(deflating.pid) - before < 16 << 20


def test_what_a_client_sent_compressed_before_it_stopped_sending_is_taken(deflating):
    with Wire(deflating.port, "listener", version=4, clean=True) as listener:
        listener.subscribe("t")
        body = text("t") + bytes(60_000)
        publish = frame(packed(b"\x30" + variable_length(len(body)) + body), reserved=4)
        # More than is unpacked at once, in one segment, and the end behind it.
        deflating.line.send(publish * 12)
        deflating.line.socket.shutdown(socket.SHUT_WR)
        for number in range(12):
            assert listener.read().body == body, f"message {number}"


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096

"""Does the web port do what a back end, a script and a browser expect, and nothing for pages of somebody else?"""

import re
import subprocess

import pytest

from brokers import Drawbridge, program
from clients import Message, PahoFive
from eventually import eventually
from raw_http import Line, ask, request, told, upgrade

@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """One Drawbridge for all tests of this file: each uses topics of its own."""

    node = Drawbridge(tmp_path_factory.mktemp("http")).start()
    yield node
    node.clean_up()

@pytest.fixture
def reader(node, request):
    with PahoFive(node, "reader") as reader:
        yield reader

def curl(*arguments, **options):
    return subprocess.run([program("curl"), "-sS", *arguments], capture_output=True, timeout=30, **options)

@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_curl_publishes_with_a_quality_of_its_choice(node, reader, method, qos):
    reader.subscribe(f"curl/{method}/{qos}", 2)
    reply = curl("-X", method, "--data-binary", "hello", f"{node.web}/v1/publish/curl/{method}/{qos}?qos={qos}")
    assert reply.returncode == 0 and b'"id"' in reply.stdout, reply
    assert reader.wait_for(1) == [Message(f"curl/{method}/{qos}", "hello", qos, False)]

@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_reply_tells_id_durability_and_who_got_it(node, reader, qos):
    reader.subscribe(f"told/{qos}", 2)
    first = ask(node.web_port, "POST", f"/v1/publish/told/{qos}?qos={qos}", b"x")
    second = ask(node.web_port, "POST", f"/v1/publish/nobody/{qos}?qos={qos}", b"x")
    assert (first.status, second.status) == (200, 200), (first, second)
    assert first.headers.get_content_type() == "application/json"
    one, other = told(first), told(second)
    assert set(one) == {"id", "durable", "matched", "links"}
    assert one["id"] != other["id"]
    assert (one["matched"], other["matched"], one["links"]) == (1, 0, [])
    assert isinstance(one["durable"], bool) and not (qos == 0 and one["durable"])

def test_a_message_for_an_absent_session_is_durable_when_the_reply_comes(node):
    with PahoFive(node, "absent", clean=False) as absent:
        absent.subscribe("durable/#", 1)
        absent.close()
    assert told(ask(node.web_port, "POST", "/v1/publish/durable/1?qos=1", b"x"))["durable"] is True
    with PahoFive(node, "absent", clean=False) as absent:
        assert absent.wait_for(1) == [Message("durable/1", "x", 1, False)]
        absent.close()

@pytest.mark.parametrize(
    "path, topic",
    [
        ("plain/topic", "plain/topic"),
        ("with%20space/a%2Bb", None),
        ("gr%C3%BC%C3%9Fe/%E4%B8%96%E7%95%8C", "grüße/世界"),
        ("one%2Ftwo", None),
        ("/leading", "/leading"),
        ("inner//empty", "inner//empty"),
        ("trailing/", "trailing/"),
        ("//", "//"),
        ("a=b;c,d:e@f!g", "a=b;c,d:e@f!g"),
        ("dots/../stay/./here", "dots/../stay/./here"),
        ("with%20space", "with space"),
        ("percent%25", "percent%"),
        ("question%3Fmark", "question?mark"),
    ],
)
def test_the_topic_is_the_raw_path_decoded_level_by_level(node, reader, path, topic):
    reader.subscribe(topic or "#", 1)
    reply = ask(node.web_port, "POST", f"/v1/publish/{path}?qos=1", path.encode())
    if topic is None:  # %2B is a plus sign, which no topic may hold, and %2F a slash, which no level of one may hold
        assert reply.status == 400
        return
    assert reply.status == 200, reply
    assert reader.wait_for(1) == [Message(topic, path, 1, False)]

@pytest.mark.parametrize(
    "target",
    [
        "/v1/publish/a/%23?qos=1",
        "/v1/publish/a/+/b",
        "/v1/publish/%2B",
        "/v1/publish/",
        "/v1/publish/a%00b",
        "/v1/publish/a%ff%fe",
        "/v1/publish/a%zz",
        "/v1/publish/a%2",
        "/v1/publish/a?qos=3",
        "/v1/publish/a?qos=-1",
        "/v1/publish/a?qos=one",
        "/v1/publish/a?qos=",
        "/v1/publish/a?retain=perhaps",
    ],
)
def test_what_is_no_topic_or_no_quality_is_refused_with_a_reason(node, target):
    reply = ask(node.web_port, "POST", target, b"x")
    assert reply.status == 400, reply
    assert isinstance(told(reply), dict) and any(isinstance(value, str) and value for value in told(reply).values())

def test_a_body_may_be_empty_and_may_hold_every_byte(node):
    everything = bytes(range(256)) * 16
    received = []
    with PahoFive(node, "bytes") as reader:
        reader.client.on_message = lambda client, data, message: received.append(message.payload)
        reader.subscribe("bytes", 1)
        for body in (b"", everything):
            assert ask(node.web_port, "POST", "/v1/publish/bytes?qos=1", body).status == 200

        eventually("both arrive", lambda: len(received) == 2)
    assert received == [b"", everything]

@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
def test_a_body_over_the_limit_is_refused_and_one_below_it_is_not(node, chunked):
    # max_packet is 1 MiB unless configured; a body must fit into a packet with its topic.
    for size, status in ((1_000_000, 200), (1_200_000, 413)):
        extra = ["-H", "Transfer-Encoding: chunked"] if chunked else []
        reply = curl(
            *extra, "-w", "\n%{http_code}", "--data-binary", "@-", f"{node.web}/v1/publish/big?qos=1", input=b"x" * size
        )
        body, code = reply.stdout.rsplit(b"\n", 1)
        assert int(code) == status, (size, reply.stderr, body[:200])
        assert body.startswith(b"{")

def test_retain_keeps_the_message_for_who_comes_later(node):
    assert ask(node.web_port, "POST", "/v1/publish/kept/1?qos=1&retain=true", b"kept").status == 200
    assert ask(node.web_port, "POST", "/v1/publish/kept/2?qos=1&retain=false", b"not kept").status == 200
    with PahoFive(node, "late") as late:
        late.subscribe("kept/#", 1)
        assert late.wait_for(1) == [Message("kept/1", "kept", 1, True)]

def test_healthz_says_ok_and_lists_the_links(node):
    reply = ask(node.web_port, "GET", "/healthz")
    assert reply.status == 200
    assert told(reply)["status"] == "ok" and told(reply)["links"] == []
    assert reply.headers.get_content_type() == "application/json"

@pytest.mark.parametrize(
    "path, kind",
    [("/", "text/html"), ("/mqtt.js", "javascript")],
)
def test_the_pages_are_served_from_within(node, path, kind):
    reply = ask(node.web_port, "GET", path)
    assert reply.status == 200 and kind in reply.headers["Content-Type"], reply
    assert reply.body

def test_the_page_needs_nothing_from_outside(node):
    reply = ask(node.web_port, "GET", "/")
    assert reply.status == 200
    page = reply.body.decode()

    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", page)
    for address in re.findall(r"""(?:src|href)\s*=\s*["']([^"'#:]+)["']""", page):
        path = address if address.startswith("/") else f"/{address.removeprefix('./')}"
        assert ask(node.web_port, "GET", path).status == 200, path

@pytest.mark.parametrize("path", ["/nothing", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/chat.js/../x", "/v2"])
def test_what_is_not_there_is_404(node, path):
    assert ask(node.web_port, "GET", path).status in (400, 404)

def test_a_wrong_method_is_refused(node):
    assert ask(node.web_port, "DELETE", "/v1/publish/a").status in (404, 405)
    assert ask(node.web_port, "GET", "/v1/publish/a").status in (404, 405)

# ---------------------------------------------------------------------------------------------------------- Origin

FOREIGN = ["http://evil.example", "https://127.0.0.1.evil.example", "null", "http://localhost.evil.example:{port}", ""]

@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_somebody_else_may_neither_upgrade_nor_publish(node, reader, origin):
    reader.subscribe("guarded", 1)
    header = [f"Origin: {origin.format(port=node.web_port)}"]
    assert ask(node.web_port, "POST", "/v1/publish/guarded?qos=1", b"evil", header).status == 403
    with Line(node.web_port) as line:
        line.send(upgrade(node.web_port, headers=header))
        assert line.reply("GET").status == 403
    assert ask(node.web_port, "POST", "/v1/publish/guarded?qos=1", b"good").status == 200
    assert reader.wait_for(1) == [Message("guarded", "good", 1, False)]

def test_a_name_that_points_here_does_not_make_a_page_ours(node):
    """DNS rebinding: Origin equals Host, but Host is no name of this listener."""
    host = f"evil.example:{node.web_port}"
    assert ask(node.web_port, "POST", "/v1/publish/a", b"x", [f"Origin: http://{host}"], host=host).status == 403
    with Line(node.web_port) as line:
        line.send(upgrade(node.web_port, headers=[f"Origin: http://{host}"], host=host))
        assert line.reply("GET").status == 403

@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_our_own_page_may_upgrade_and_publish(node, name):
    host = f"{name}:{node.web_port}"
    header = [f"Origin: http://{host}"]
    assert ask(node.web_port, "POST", "/v1/publish/ours", b"x", header, host=host).status == 200
    with Line(node.web_port) as line:
        line.send(upgrade(node.web_port, headers=header, host=host))
        reply = line.reply("GET")
        assert reply.status == 101 and reply.headers["Sec-WebSocket-Protocol"] == "mqtt"

def test_another_port_is_another_origin(node):
    host = f"127.0.0.1:{node.web_port}"
    assert ask(node.web_port, "POST", "/v1/publish/a", b"x", ["Origin: http://127.0.0.1:1"], host=host).status == 403

def test_an_upgrade_elsewhere_or_without_the_subprotocol_is_refused_in_words(node):
    with Line(node.web_port) as line:
        line.send(upgrade(node.web_port, path="/elsewhere"))
        assert 400 <= line.reply("GET").status < 500
    with Line(node.web_port) as line:
        line.send(upgrade(node.web_port).replace(b"Sec-WebSocket-Protocol: mqtt\r\n", b""))
        assert 400 <= line.reply("GET").status < 500

# ---------------------------------------------------------------------------------------------- how the bytes come

def test_a_connection_serves_one_request_after_the_other(node, reader):
    reader.subscribe("alive/#", 1)
    with Line(node.web_port) as line:
        for number in range(20):
            line.send(request(node.web_port, "POST", "/v1/publish/alive/1?qos=1", str(number).encode()))
            assert line.reply().status == 200
        line.send(request(node.web_port, "GET", "/healthz"))
        assert line.reply("GET").status == 200
    assert [message.payload for message in reader.wait_for(20)] == [str(number) for number in range(20)]

def test_requests_sent_ahead_are_answered_in_order(node, reader):
    reader.subscribe("ahead/#", 1)
    with Line(node.web_port) as line:
        pipeline = [request(node.web_port, "POST", "/v1/publish/ahead/1?qos=1", str(n).encode()) for n in range(20)]
        line.send(b"".join(pipeline))
        assert [line.reply().status for _ in pipeline] == [200] * 20
    assert [message.payload for message in reader.wait_for(20)] == [str(number) for number in range(20)]

def test_a_request_may_come_byte_by_byte(node, reader):
    reader.subscribe("drops", 1)
    with Line(node.web_port) as line:
        for byte in request(node.web_port, "POST", "/v1/publish/drops?qos=1", b"drop by drop"):
            line.send(bytes([byte]))
        assert line.reply().status == 200
    assert reader.wait_for(1) == [Message("drops", "drop by drop", 1, False)]

def test_a_body_may_come_in_chunks_of_one_byte(node, reader):
    reader.subscribe("chunks", 1)
    head = request(node.web_port, "POST", "/v1/publish/chunks?qos=1").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    with Line(node.web_port) as line:
        line.send(head)
        for byte in b"one by one":
            line.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        line.send(b"0\r\n\r\n")
        assert line.reply().status == 200
    assert reader.wait_for(1) == [Message("chunks", "one by one", 1, False)]

@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
    ids=["TLS", "nonsense", "version"],
)
def test_what_is_no_http_is_answered_or_closed_and_does_not_hang(node, garbage):
    with Line(node.web_port) as line:
        line.send(garbage)
        assert line.file.readline() in (b"", b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.0 400 Bad Request\r\n")
    assert ask(node.web_port, "GET", "/healthz").status == 200

@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 3", "Content-Length: 4"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Content-Length: +3"],
        ["Content-Length: -1"],
    ],
    ids=["two lengths", "length and chunks", "signed", "negative"],
)
def test_a_request_whose_end_is_in_doubt_is_not_obeyed(node, headers):
    """Request smuggling: two readers of these bytes would disagree on where the body ends."""
    lines = ["POST /v1/publish/smuggled HTTP/1.1", f"Host: 127.0.0.1:{node.web_port}", *headers]
    with Line(node.web_port) as line:
        line.send("\r\n".join(lines).encode() + b"\r\n\r\nabc")
        first = line.file.readline()
        assert first == b"" or first.split()[1] == b"400", first

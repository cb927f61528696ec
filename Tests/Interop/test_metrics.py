"""What a node tells Prometheus, read by Prometheus's own parser."""

import os
import pathlib
import signal
import socket

from prometheus_client.parser import text_string_to_metric_families

from brokers import free_port, link_to
from eventually import eventually
from raw_http import Line, ask
from wire import Wire

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "configuration.md"


def scrape(port):
    reply = ask(port, "GET", "/metrics")
    assert reply.status == 200, reply
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return read(reply.body)


def read(text):
    """All samples by name and labels; what is no such text raises."""
    samples = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation and family.type in ("counter", "gauge"), family
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def value(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))))


def test_metrics_are_off_on_web_ports_unless_configured_and_a_reload_turns_them_on(brokers):
    node = brokers.drawbridge("a").start()
    reply = ask(node.web_port, "GET", "/metrics")
    assert reply.status == 404 and b"prometheus = true" in reply.body
    node.config_file.write_text("[metrics]\nprometheus = true\n" + node.config_file.read_text())
    node.process.send_signal(signal.SIGHUP)
    eventually("metrics are on", lambda: ask(node.web_port, "GET", "/metrics").status == 200)
    assert ask(node.web_port, "POST", "/metrics").status == 405


def test_a_page_of_another_site_may_not_read_them(brokers):
    node = brokers.drawbridge("a", more="[metrics]\nprometheus = true\n").start()
    with Line(node.web_port) as line:
        line.send(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert line.reply("GET").status == 403


def test_they_count_what_happens(brokers):
    node = brokers.drawbridge("a", more="[metrics]\nprometheus = true\n").start()
    before = scrape(node.web_port)
    with Wire(node.port, "ann", version=4, clean=True) as ann:
        ann.publish("a", b"12345")
        assert ask(node.web_port, "POST", "/v1/publish/a?qos=1", b"67").status == 200
        eventually("two came", lambda: value(scrape(node.web_port), "drawbridge_messages_received_total") == 2)
        after = scrape(node.web_port)
        assert value(after, "drawbridge_payload_received_bytes_total") == 7
        assert value(after, "drawbridge_clients_connected") == 1
        assert value(before, "drawbridge_clients_connected") == 0
        assert value(after, "drawbridge_connects_total") == 1
    assert value(after, "drawbridge_info", version="0.1.0", node="a") == 1
    assert value(after, "drawbridge_spool_healthy") == 1 and value(after, "drawbridge_spool_refusing") == 0
    assert value(after, "drawbridge_spool_disk_bytes", file="database") > 0
    assert value(after, "drawbridge_messages_dropped", reason="oldest") == 0
    assert value(after, "process_resident_memory_bytes") > 1e6
    assert value(after, "process_cpu_seconds_total") > 0


def test_a_link_that_is_down_says_what_waits(brokers):
    node = brokers.drawbridge("a", links=link_to(free_port()), more="[metrics]\nprometheus = true\n").start()
    for _ in range(5):
        assert ask(node.web_port, "POST", "/v1/publish/chat/x?qos=1", b"waits").status == 200
    eventually("five wait", lambda: value(scrape(node.web_port), "drawbridge_link_queue_messages", link="hub") == 5)
    samples = scrape(node.web_port)
    assert value(samples, "drawbridge_link_up", link="hub") == 0
    assert value(samples, "drawbridge_link_queue_bytes", link="hub") > 25
    assert value(samples, "drawbridge_link_queue_oldest_seconds", link="hub") < 60
    found = {key: value for key, value in samples.items() if key[0] == "drawbridge_link_state"}
    states = {dict(labels)["state"]: value for (_, labels), value in found.items()}
    assert len(states) == 10 and sum(states.values()) == 1 and states["live"] == 0
    errors = [dict(labels)["error"] for name, labels in samples if name == "drawbridge_link_last_error"]
    assert len(errors) == 1 and errors[0].endswith(": Connection refused"), errors


def test_a_live_link_counts_what_it_moves_and_every_metric_is_documented(brokers):
    hub = brokers.drawbridge("b").start()
    node = brokers.drawbridge("a", links=link_to(hub.port), more="[metrics]\nprometheus = true\n").start()
    node.wait_for_link()
    for _ in range(3):
        assert ask(node.web_port, "POST", "/v1/publish/chat/x?qos=1", b"goes").status == 200
    delivered = "drawbridge_link_messages_delivered_total"
    eventually("three went", lambda: value(scrape(node.web_port), delivered, link="hub") == 3)
    samples = scrape(node.web_port)
    assert value(samples, "drawbridge_link_up", link="hub") == 1
    assert value(samples, "drawbridge_link_messages_sent_total", link="hub") == 3
    assert value(samples, "drawbridge_link_queue_messages", link="hub") == 0
    document = DOCUMENT.read_text()
    missing = {name for name, _ in samples if f"`{name}`" not in document}
    assert not missing, missing


def test_the_control_socket_always_tells_them(brokers):
    node = brokers.drawbridge("a").start()
    path = node.data / "control.sock"
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(f"/proc/self/fd/{folder}/{path.name}")
        line.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: line.recv(65_536), b""))
    os.close(folder)
    head, body = text.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert value(read(body), "drawbridge_clients_connected") == 0

"""Does a link say what it is, and does it leave an upstream that moves nothing?"""

import json
import subprocess
import time

import pytest

from brokers import drawbridge_binary
from clients import PahoClient
from eventually import eventually
from lines import BlackHole, SilentLine

PROBE = 1.0


def link_with(ports, more="", protocol="5"):
    addresses = ", ".join(f'"mqtt://127.0.0.1:{port}"' for port in ports)
    return f"""
[[link]]
name = "hub"
addresses = [{addresses}]
protocol = "{protocol}"
probe_every = "{PROBE:g}s"
{more}
[[link.both]]
filter = "chat/#"
qos = 2
"""


@pytest.fixture
def hole():
    hole = BlackHole()
    yield hole
    hole.close()


def test_an_upstream_that_takes_connections_and_says_nothing_is_stalled_within_two_probes(brokers, hole):
    a = brokers.drawbridge("a", links=link_with([hole.port], more='backoff = { base = "30s", cap = "40s" }')).start()
    a.wait_for_link(state="stalled", seconds=2 * PROBE + 2)
    assert a.link()["last_error"] == "no CONNACK in time"
    assert len(hole.taken) == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_traffic_is_on_the_second_address_within_five_seconds_more(brokers, hole, protocol):
    hub = brokers.mosquitto("hub").start()
    bit = "bridge_bit = true" if protocol == "3.1.1" else ""
    with PahoClient(hub, "at-hub") as there:
        there.subscribe("chat/#", 2)
        begin = time.monotonic()
        a = brokers.drawbridge("a", links=link_with([hole.port, hub.port], bit, protocol)).start()
        with PahoClient(a, "at-a") as here:
            here.publish("chat/x", "through", 2)
            assert [message.payload for message in there.wait_for(1)] == ["through"]
        took = time.monotonic() - begin
        assert took < 2 * PROBE + 5, f"{took:.1f} s"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_line_that_falls_silent_in_mid_stream_is_left_for_the_next_address(brokers, protocol):
    near, far = brokers.mosquitto("near").start(), brokers.mosquitto("far").start()
    line = SilentLine(near.port)
    bit = "bridge_bit = true" if protocol == "3.1.1" else ""
    try:
        a = brokers.drawbridge("a", links=link_with([line.port, far.port], bit, protocol)).start()
        a.wait_for_link()
        with PahoClient(near, "at-near") as at_near, PahoClient(far, "at-far") as at_far, PahoClient(a, "at-a") as here:
            at_near.subscribe("chat/#", 2)
            at_far.subscribe("chat/#", 2)
            here.publish("chat/x", "before", 2)
            at_near.wait_for(1)
            line.fall_silent()
            begin = time.monotonic()
            here.publish("chat/x", "after", 1)
            assert [message.payload for message in at_far.wait_for(1)] == ["after"]
            took = time.monotonic() - begin
            assert took < 2 * PROBE + 5, f"{took:.1f} s"
            assert [message.payload for message in at_near.messages] == ["before"]
        eventually("the log says why", lambda: "the upstream does not answer" in a.log())
    finally:
        line.close()


def test_a_quiet_link_stays_live_and_its_probes_are_seen_by_nobody(brokers):
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge("a", links=link_with([hub.port])).start()
    a.wait_for_link()
    with PahoClient(hub, "at-hub") as there, PahoClient(a, "at-a") as here:
        there.subscribe("#", 2)
        here.subscribe("#", 2)
        end = time.monotonic() + 4 * PROBE
        eventually("four probes pass", lambda: time.monotonic() > end)
        assert a.link()["state"] == "live"
        assert there.messages == [] and here.messages == []
    assert a.log().count("link connected") == 1


def test_an_upstream_that_says_no_is_refused(brokers):
    hub = brokers.mosquitto("hub")
    hub.config_file.write_text(hub.config_file.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    hub.start()
    a = brokers.drawbridge("a", links=link_with([hub.port])).start()
    a.wait_for_link(state="refused")
    assert "refused" in a.link()["last_error"]


def test_probes_return_from_a_drawbridge_whose_rules_allow_nothing_of_them(brokers):
    hub = brokers.drawbridge(
        "hub", more='[acl]\nrules = [ { allow = "both", who = "all", topics = ["chat/#"] } ]\n'
    ).start()
    line = SilentLine(hub.port)
    try:
        a = brokers.drawbridge("a", links=link_with([line.port])).start()
        a.wait_for_link()
        assert "denied" not in hub.log(), hub.log_tail()
        line.fall_silent()
        eventually("it is noticed", lambda: "the upstream does not answer" in a.log(), 2 * PROBE + 3)
    finally:
        line.close()


# Operators


def ctl(node, *arguments):
    answer = subprocess.run(
        [drawbridge_binary(), "ctl", *arguments, "--data", str(node.data)], capture_output=True, text=True, timeout=20
    )
    return answer.returncode, answer.stdout, answer.stderr


def shown(node, name="hub"):
    status, out, err = ctl(node, "links", "--json")
    assert status == 0, err
    return next(link for link in json.loads(out)["links"] if link["name"] == name)


def test_a_link_can_be_held_stopped_and_started_and_shows_what_waits(brokers):
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge("a", links=link_with([hub.port])).start()
    a.wait_for_link()
    with PahoClient(hub, "at-hub") as there, PahoClient(a, "at-a") as here:
        there.subscribe("chat/#", 2)
        here.subscribe("chat/#", 2)
        assert ctl(a, "link", "hub", "pause") == (0, "", "")
        a.wait_for_link(state="paused")
        for number in range(20):
            here.publish("chat/out", str(number), 1 + number % 2)
        there.publish("chat/in", "comes in", 1)
        here.wait_for(21)
        eventually("twenty wait", lambda: shown(a)["queue"] == 20)
        link = shown(a)
        assert link["state"] == "paused" and link["connected"] and link["queue_bytes"] > 0
        assert 0 <= link["oldest_seconds"] < 60
        assert [message.payload for message in there.messages] == ["comes in"]
        assert ctl(a, "link", "hub", "resume")[0] == 0
        there.wait_for(21)
        eventually("nothing waits", lambda: shown(a)["queue"] == 0)

        assert ctl(a, "link", "hub", "stop")[0] == 0
        a.wait_for_link(state="disabled")
        here.publish("chat/out", "kept", 2)
        eventually("it waits", lambda: shown(a)["queue"] == 1)
        assert ctl(a, "link", "hub", "start")[0] == 0
        there.wait_for(22)
        a.wait_for_link()
        assert shown(a)["probe_milliseconds"] is not None
        status, out, _ = ctl(a, "link", "hub")
        assert status == 0 and "live, for" in out
        assert "hub" in ctl(a, "links")[1]
    status, _, err = ctl(a, "link", "nobody", "stop")
    assert status != 0 and "No link has the name nobody" in err
    assert ctl(a, "link", "nobody")[0] != 0


def test_topics_say_what_a_link_is_here_and_at_the_upstream(brokers):
    hub = brokers.mosquitto("hub").start()
    links = link_with([hub.port]) + "[link.status]\nlocal_only = false\n"
    a = brokers.drawbridge("a", links=links, more='[metrics]\nsys_interval = "1s"\n').start()
    a.wait_for_link()
    topic = "$SYS/broker/connection/a.hub/state"
    with PahoClient(a, "at-a") as here, PahoClient(hub, "at-hub") as there:
        here.subscribe("$SYS/broker/connection/#", 0)
        there.subscribe(topic, 0)
        assert there.wait_for(1)[0].payload == "1" and there.messages[0].retain

        def said(name):
            return [message.payload for message in here.messages if message.topic.endswith(name)]

        eventually("it is said here", lambda: said("/state") == ["1"])
        eventually("with all there is to say", lambda: any('"state":"live"' in text for text in said("/detail")))
        # Killed, its will speaks for it.
        a.kill()
        assert there.wait_for(2)[1].payload == "0"


def test_a_lazy_link_connects_for_what_waits(brokers):
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge("a", links=link_with([hub.port], more='start = "lazy"')).start()
    a.wait_for_link(state="idle")
    with PahoClient(hub, "at-hub") as there, PahoClient(a, "at-a") as here:
        there.subscribe("chat/#", 2)
        here.publish("chat/x", "wake up", 1)
        there.wait_for(1)
        a.wait_for_link()

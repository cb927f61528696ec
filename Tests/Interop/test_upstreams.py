"""Do links carry everything to and from the brokers of others, as Debian packages them, and lose nothing to an outage?

mosquitto, nats-server, RabbitMQ with its MQTT plugin and ejabberd with mod_mqtt, each as it is after installation, and
each spoken to as its page in bridges/ says.
"""

import collections
import time

import pytest

from brokers import free_port
from clients import Message, PahoClient, PahoFive
from eventually import eventually
from upstreams import UPSTREAMS
from weak_line import WeakLine
from wire import PUBACK, Wire, packet_id_of

BACKLOG = 10_000


@pytest.fixture(scope="module", params=UPSTREAMS)
def upstream(request, tmp_path_factory):
    """One of each for all tests: Erlang takes its time to start."""
    broker = UPSTREAMS[request.param](tmp_path_factory.mktemp(request.param), request.param)
    try:
        yield broker.start()
    finally:
        broker.clean_up()


@pytest.fixture(autouse=True)
def shows_its_log(request, upstream, brokers):
    request.node.brokers.append(upstream)
    yield
    request.node.brokers.remove(upstream)  # it outlives the test


def client(upstream, name, clean=True):
    return (PahoFive if upstream.client_version == 5 else PahoClient)(upstream, name, clean)


def linked(brokers, upstream, rules, name="edge", port=None):
    """A node with a link that is quick to notice and quick to return."""
    return brokers.drawbridge(
        name,
        links=f"""
[[link]]
name = "up"
addresses = ["mqtt://127.0.0.1:{port or upstream.port}"]
protocol = {upstream.protocol}
client_id = "{name}-{time.time_ns()}"
keepalive = "4s"
backoff = {{ base = "100ms", cap = "1s" }}
{upstream.link_more}
{rules}
""",
    ).start()


def told(messages):
    return [(message.topic, message.payload, message.qos) for message in messages]


def test_out_every_quality_arrives_as_far_as_the_upstream_has_it(brokers, upstream):
    edge = linked(brokers, upstream, f'[[link.out]]\nfilter = "out/#"\nto = "site/{{topic}}"\nqos = {upstream.highest_qos}')
    with client(upstream, "reader-out") as there, PahoFive(edge, "writer") as here:
        there.subscribe("site/out/#", upstream.highest_qos)
        edge.wait_for_link("up")
        for qos in (0, 1, 2):
            here.publish(f"out/{qos}", f"at {qos}", qos)
            there.wait_for(qos + 1)
        best = upstream.highest_qos
        assert told(there.messages) == [(f"site/out/{qos}", f"at {qos}", min(qos, best)) for qos in (0, 1, 2)]


def test_in_every_quality_arrives_as_far_as_the_upstream_has_it(brokers, upstream):
    edge = linked(brokers, upstream, f'[[link.in]]\nfilter = "in/#"\nto = "from/{{topic}}"\nqos = {upstream.highest_qos}')
    with PahoFive(edge, "reader") as here, client(upstream, "writer-in") as there:
        here.subscribe("#", 2)
        edge.wait_for_link("up")
        qualities = range(upstream.highest_qos + 1)
        for qos in qualities:
            there.publish(f"in/{qos}", f"at {qos}", qos)
            here.wait_for(qos + 1)
        assert told(here.messages) == [(f"from/in/{qos}", f"at {qos}", qos) for qos in qualities]


def test_both_ways_each_message_arrives_once(brokers, upstream):
    qos = upstream.highest_qos
    if upstream.echoes:  # whoever sends back what it got needs topics of their own for the two directions
        rules = f"""
[[link.out]]
filter = "talk/here/#"
qos = {qos}
[[link.in]]
filter = "talk/there/#"
qos = {qos}
"""
    else:
        rules = f'[[link.both]]\nfilter = "talk/#"\nqos = {qos}'
    edge = linked(brokers, upstream, rules)
    with client(upstream, "reader-both") as there, PahoFive(edge, "reader") as here:
        there.subscribe("talk/#", qos)
        here.subscribe("talk/#", 2)
        edge.wait_for_link("up")
        expected = []
        for number in range(20):
            for speaker, name in ((here, "here"), (there, "there")):
                speaker.publish(f"talk/{name}/x", f"{number} from {name}", 1)
                expected.append((f"talk/{name}/x", f"{number} from {name}", 1))
                here.wait_for(len(expected))
                there.wait_for(len(expected))
        assert told(there.messages) == expected and told(here.messages) == expected


def test_retained_messages_go_out_and_come_in(brokers, upstream):
    topic = f"kept/{time.time_ns()}"
    with client(upstream, "keeper") as there:
        there.publish(f"{topic}/there", "from there", 1, retain=True)
        # A whole topic, and no wildcard: RabbitMQ looks for retained messages by their very name.
        edge = linked(
            brokers,
            upstream,
            f'[[link.out]]\nfilter = "{topic}/here"\nqos = 1\n[[link.in]]\nfilter = "{topic}/there"\nretain = "set"',
        )
        edge.wait_for_link("up")
        with PahoFive(edge, "writer") as here:
            here.publish(f"{topic}/here", "from here", 1, retain=True)
            eventually("the link is idle", lambda: edge.link("up")["queued"] == 0)

            def is_kept():
                """A look of a newcomer each time: what it hears at once was kept for it."""
                with client(upstream, f"late-{time.time_ns()}") as late:
                    late.subscribe(f"{topic}/here", 1)
                    late.publish(f"{topic}/end/{late.client_id}", "", 1)
                    return late.messages and late.messages[0] == Message(f"{topic}/here", "from here", 1, True)

            eventually("the upstream keeps what went out", is_kept)

            def has_come():
                with PahoFive(edge, f"late-{time.time_ns()}") as late:
                    late.subscribe(f"{topic}/there", 1)
                    late.publish("end", "", 1)
                    return late.messages and late.messages[0] == Message(f"{topic}/there", "from there", 1, True)

            eventually("what the upstream kept is kept here", has_come)
            # What changes while the link stands is kept as well.
            there.publish(f"{topic}/there", "changed", 1, retain=True)

            def has_changed():
                with PahoFive(edge, f"late-{time.time_ns()}") as late:
                    late.subscribe(f"{topic}/there", 1)
                    late.publish("end", "", 1)
                    return late.messages and late.messages[0] == Message(f"{topic}/there", "changed", 1, True)

            eventually("what changed there is changed here", has_changed)


def test_the_link_returns_after_the_upstream_was_killed(brokers, upstream):
    edge = linked(
        brokers, upstream, '[[link.out]]\nfilter = "again/here/#"\nqos = 1\n[[link.in]]\nfilter = "again/there/#"\nqos = 1'
    )
    edge.wait_for_link("up")
    for life in range(2):
        upstream.kill()
        eventually("the outage is noticed", lambda: edge.link("up")["state"] != "live")
        upstream.restart()
        edge.wait_for_link("up", seconds=120)
        with client(upstream, f"reader-{life}") as there, PahoFive(edge, f"reader-{life}") as here:
            there.subscribe("again/#", 1)
            here.subscribe("again/there/#", 1)
            here.publish("again/here", f"life {life}", 1)
            there.wait_for(1)
            there.publish("again/there", f"life {life}", 1)
            here.wait_for(1)
            assert here.messages[0].payload == there.messages[0].payload == f"life {life}"


def publish_many(port, topic, count, window=128):
    """`count` numbered messages of QoS 1, all acknowledged."""
    with Wire(port, f"many-{time.time_ns()}", clean=True) as wire:
        sent = acknowledged = 0
        while acknowledged < count:
            while sent < count and sent - acknowledged < window:
                sent += 1
                wire.publish(topic, b"%d" % sent, 1, (sent - 1) % 60_000 + 1)
            packet = wire.read()
            assert packet.kind == PUBACK and packet_id_of(packet), packet
            acknowledged += 1


def test_a_backlog_of_ten_thousand_arrives_whole_after_an_outage(brokers, upstream):
    """The line is dead, 10,000 messages come, the node and the upstream are killed, and the line returns."""
    line = WeakLine(free_port(), upstream.port)
    try:
        edge = linked(brokers, upstream, '[[link.out]]\nfilter = "backlog/#"\nqos = 1', port=line.port)
        edge.wait_for_link("up")
        line.cut()
        eventually("the outage is noticed", lambda: edge.link("up")["state"] != "live")
        publish_many(edge.port, "backlog/x", BACKLOG)
        upstream.kill()
        edge.kill()
        upstream.restart()
        edge.restart()
        eventually("everything waits", lambda: (edge.link("up") or {}).get("queued") == BACKLOG)
        with client(upstream, "reader-backlog") as there:
            there.subscribe("backlog/#", 1)
            line.heal()
            eventually(
                lambda: f"{BACKLOG} arrive; {len(there.messages)} have, the link is {edge.link('up')}",
                lambda: len(there.messages) >= BACKLOG,
                120,
            )
            eventually("nothing waits", lambda: edge.link("up")["queued"] == 0, 60)
            arrived = [int(message.payload) for message in there.messages]
        again = [number for number, count in collections.Counter(arrived).items() if count > 1]
        assert list(dict.fromkeys(arrived)) == list(range(1, BACKLOG + 1)), "lost, or out of order"
        assert not again, f"the line stood, and yet twice: {again[:10]}"
    finally:
        line.close()


def test_ten_thousand_messages_of_the_upstream_come_in_after_the_node_was_away(brokers, upstream):
    """The upstream keeps them in the session of the link, the node hands them to a session of its own."""
    edge = linked(brokers, upstream, '[[link.in]]\nfilter = "inward/#"\nqos = 1')
    edge.wait_for_link("up")
    with PahoFive(edge, "sleeper", clean=False) as sleeper:
        sleeper.subscribe("inward/#", 1)
        sleeper.close()
    edge.kill()
    with client(upstream, "writer-inward") as there:
        sent = [there.client.publish("inward/x", str(number), 1) for number in range(1, BACKLOG + 1)]
        eventually("everything is acknowledged", lambda: all(message.is_published() for message in sent), 120)
    edge.restart()
    with PahoFive(edge, "sleeper", clean=False) as sleeper:
        sleeper.resume("inward/#", 1)
        eventually(
            lambda: f"{BACKLOG} arrive; {len(sleeper.messages)} have, the link is {edge.link('up')}",
            lambda: len({message.payload for message in sleeper.messages}) >= BACKLOG,
            120,
        )
        arrived = [int(message.payload) for message in sleeper.messages]
        sleeper.close()
    assert list(dict.fromkeys(arrived)) == list(range(1, BACKLOG + 1)), "lost, or out of order"

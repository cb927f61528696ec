"""When the line of a link returns: does what waits come in order and once, in the order of priorities, as fast as is
wanted, and is what comes meanwhile not kept waiting by it?"""

import contextlib
import subprocess
import time

from brokers import drawbridge_binary, free_port, link_to
from clients import PahoClient, PahoFive
from weak_line import WeakLine

BACKLOG = 600


def test_what_comes_while_a_link_catches_up_goes_ahead_and_nothing_is_lost_doubled_or_out_of_order(brokers):
    hub = brokers.drawbridge("hub").start()
    with contextlib.closing(WeakLine(free_port(), hub.port)) as line:
        line.cut()
        more = 'catchup_rate = "200/s"\nbackoff = { base = "50ms", cap = "100ms" }'
        edge = brokers.drawbridge("edge", links=link_to(line.port, more=more)).start()
        with PahoClient(hub, "hears") as there, PahoClient(edge, "many") as many, PahoClient(edge, "live") as live:
            there.subscribe("chat/#", 2)
            for number in range(BACKLOG):
                many.publish("chat/many", str(number), 1 + number % 2)
            line.heal()
            edge.wait_for_link(state="catching up")
            began = time.monotonic()
            for number in range(5):
                live.publish("chat/live", f"live {number}", 1)
                there.wait_for(len(there.messages) + 1)
            messages = there.wait_for(BACKLOG + 5, seconds=60)
            took = time.monotonic() - began
        texts = [message.payload for message in messages]
        assert [text for text in texts if text.startswith("live")] == [f"live {number}" for number in range(5)]
        # Each quality of a topic has an order of its own.
        for odd in (0, 1):
            waited = [int(text) for text in texts if text.isdigit() and int(text) % 2 == odd]
            assert waited == list(range(odd, BACKLOG, 2))
        assert texts.index("live 4") < BACKLOG / 2
        assert took > 1.5
        edge.wait_for_link()


def test_what_waits_by_a_rule_with_a_priority_comes_first_also_after_a_restart(brokers):
    hub = brokers.drawbridge("hub").start()
    links = f"""
[[link]]
name = "hub"
addresses = ["mqtt://127.0.0.1:{hub.port}"]
start = "manual"
max_inflight = 1
[[link.out]]
filter = "chat/alarm/#"
priority = 9
[[link.out]]
filter = "chat/#"
"""
    edge = brokers.drawbridge("edge", links=links).start()
    with PahoClient(edge, "many") as many:
        for number in range(50):
            many.publish("chat/many", str(number), 1)
        for number in range(3):
            many.publish("chat/alarm/1", f"alarm {number}", 1)
    edge.kill()
    edge.start()
    with PahoClient(hub, "hears") as there:
        there.subscribe("chat/#", 1)
        start = [drawbridge_binary(), "ctl", "link", "hub", "start", "--data", str(edge.data)]
        assert subprocess.run(start, timeout=20).returncode == 0
        texts = [message.payload for message in there.wait_for(53)]
    assert texts == [f"alarm {number}" for number in range(3)] + [str(number) for number in range(50)]


def test_topic_aliases_save_bytes_of_long_topics_and_change_nothing_else(brokers):
    hub = brokers.mosquitto("hub").start()
    topics = [f"chat/{number}/a/topic/that/is/longer/than/an/alias" for number in range(14)]
    with contextlib.closing(WeakLine(free_port(), hub.port)) as line:
        edge = brokers.drawbridge("edge", links=link_to(line.port)).start()
        edge.wait_for_link()
        with PahoFive(hub, "hears") as there, PahoClient(edge, "says") as says:
            there.subscribe("chat/#", 2)
            for round in range(3):
                if round == 2:
                    # Over the next connection the aliases are others.
                    line.cut()
                    line.heal()
                    edge.wait_for_link()
                for number, topic in enumerate(topics):
                    says.publish(topic, f"{round} {topic}", number % 3)
            messages = there.wait_for(3 * len(topics))
        assert sorted(f"{m.payload.split()[0]} {m.topic}" for m in messages) == sorted(m.payload for m in messages)
        assert {m.topic for m in messages} == set(topics)

"""Marks: is QoS 2 exactly once although an upstream forgets, and does every node of a ring or a mesh hear everything once?"""

import contextlib
import random
import time

import pytest
from brokers import free_port
from clients import PahoFive
from eventually import eventually
from test_auth import passwd
from weak_line import WeakLine

USERS = ["link", "client"]


def accounts(folder):
    """A file of users: one who is a link, and one who is not."""
    file = folder / "users"
    for user in USERS:
        passwd(file, user, "secret")
    return f'[auth]\nlinks = ["link"]\n[auth.users]\nfile = "{file}"\n'


def link(name, port, more=""):
    return f"""
[[link]]
name = "{name}"
addresses = ["mqtt://127.0.0.1:{port}"]
username = "link"
password = "secret"
backoff = {{ base = "50ms", cap = "200ms" }}
{more}
[[link.both]]
filter = "chat/#"
"""


def client(node, name):
    return PahoFive(node, name, username="client", password="secret")


def site(brokers, tmp_path, names, peers):
    """Nodes that are linked as `peers` says; all of them know each other's ports before the first starts."""
    users = accounts(tmp_path)
    nodes = {name: brokers.drawbridge(name, links=users) for name in names}
    for name, node in nodes.items():
        with node.config_file.open("a") as file:
            file.writelines(link(f"to-{peer}", nodes[peer].port) for peer in peers(name))
    for node in nodes.values():
        node.start()
    for name, node in nodes.items():
        for peer in peers(name):
            node.wait_for_link(f"to-{peer}")
    return nodes


def everybody_hears_everybody_once(nodes, rounds=20):
    with contextlib.ExitStack() as stack:
        listeners = {name: stack.enter_context(client(node, "listener")) for name, node in nodes.items()}
        for listener in listeners.values():
            listener.subscribe("chat/#", 2)
        expected = []
        for number in range(rounds):
            for name, speaker in listeners.items():
                speaker.publish("chat/news", f"{name} {number}", number % 3)
                expected.append(f"{name} {number}")
        for listener in listeners.values():
            eventually("all have come", lambda who=listener: len(who.messages) >= len(expected))
        # Whatever goes round would go round now.
        time.sleep(1)
        for listener in listeners.values():
            assert sorted(message.payload for message in listener.messages) == sorted(expected)


def test_a_ring_of_three_in_which_everything_goes_everywhere_brings_each_message_once(brokers, tmp_path):
    names = ["a", "b", "c"]
    nodes = site(brokers, tmp_path, names, lambda name: [names[(names.index(name) + 1) % 3]])
    everybody_hears_everybody_once(nodes)


def test_a_mesh_of_four_in_which_everything_goes_everywhere_brings_each_message_once(brokers, tmp_path):
    names = ["a", "b", "c", "d"]
    nodes = site(brokers, tmp_path, names, lambda name: [other for other in names if other > name])
    everybody_hears_everybody_once(nodes)


def test_nobody_but_a_link_sees_a_mark_or_is_believed(brokers, tmp_path):
    nodes = site(brokers, tmp_path, ["a", "b"], lambda name: ["b"] if name == "a" else [])
    with client(nodes["a"], "speaker") as speaker, client(nodes["b"], "listener") as listener:
        listener.subscribe("chat/#", 2)
        mark = ("drawbridge", f"id={'0' * 31}1;hops=200")
        for number in range(2):
            speaker.publish("chat/x", f"{number}", 1, user_properties=[mark, ("colour", "red")])
        listener.wait_for(2)
        assert [message.payload for message in listener.messages] == ["0", "1"]
        assert [message.user_properties for message in listener.messages] == [[("colour", "red")]] * 2


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_sent_again_to_an_upstream_that_forgot_is_there_once(brokers, tmp_path, qos):
    """The session at the upstream ends with every connection: without marks all in flight would come twice."""
    users = accounts(tmp_path)
    hub = brokers.drawbridge("hub", links=users).start()
    with contextlib.closing(WeakLine(free_port(), hub.port)) as line:
        up = link("hub", line.port, 'session_expiry = "0s"')
        site = brokers.drawbridge("site", links=users + up).start()
        site.wait_for_link()
        dice = random.Random(qos)
        count = 3_000
        with client(site, "speaker") as speaker, client(hub, "listener") as listener:
            listener.subscribe("chat/#", 2)
            for number in range(count):
                speaker.publish("chat/x", str(number), qos, wait=False)
                if dice.random() < 0.005:
                    line.cut()
                    line.heal()
            eventually("all have come", lambda: len({m.payload for m in listener.messages}) == count, 60)
            payloads = [message.payload for message in listener.messages]
            assert len(payloads) == len(set(payloads)), "once"
            assert payloads == [str(number) for number in range(count)], "in order"

"""Marks: is QoS 2 exactly once although an upstream forgets, and does every node of a ring or a mesh hear everything once?"""

import contextlib
import random
import threading
import time

import paho.mqtt.client as mqtt
import pytest
from brokers import free_port
from eventually import eventually
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
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


class Client:
    """A client of MQTT 5 with a user name, of whom user properties are of interest."""

    def __init__(self, node, name):
        self.messages = []
        self.subscribed = threading.Event()
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        self.paho.username_pw_set("client", "secret")
        self.paho.on_message = lambda *event: self.messages.append(event[2])
        self.paho.on_subscribe = lambda *_: self.subscribed.set()
        self.paho.max_inflight_messages_set(100)
        self.paho.connect("127.0.0.1", node.port)
        self.paho.loop_start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.paho.disconnect()
        self.paho.loop_stop()

    def subscribe(self, topic_filter, qos):
        self.paho.subscribe(topic_filter, qos)
        assert self.subscribed.wait(20)

    def publish(self, topic, payload, qos, user_properties=()):
        properties = Properties(PacketTypes.PUBLISH)
        if user_properties:
            properties.UserProperty = list(user_properties)
        self.paho.publish(topic, payload, qos, properties=properties)

    @property
    def payloads(self):
        return [message.payload.decode() for message in self.messages]


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
        listeners = {name: stack.enter_context(Client(node, "listener")) for name, node in nodes.items()}
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
            assert sorted(listener.payloads) == sorted(expected)


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
    with Client(nodes["a"], "speaker") as speaker, Client(nodes["b"], "listener") as listener:
        listener.subscribe("chat/#", 2)
        mark = ("drawbridge", f"id={'0' * 31}1;hops=200")
        for number in range(2):
            speaker.publish("chat/x", f"{number}", 1, user_properties=[mark, ("colour", "red")])
        eventually("both have come", lambda: len(listener.messages) == 2)
        assert listener.payloads == ["0", "1"]
        assert [message.properties.UserProperty for message in listener.messages] == [[("colour", "red")]] * 2


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
        with Client(site, "speaker") as speaker, Client(hub, "listener") as listener:
            listener.subscribe("chat/#", 2)
            for number in range(count):
                speaker.publish("chat/x", str(number), qos)
                if dice.random() < 0.005:
                    line.cut()
                    line.heal()
            eventually("all have come", lambda: len(set(listener.payloads)) == count, 60)
            payloads = listener.payloads
            assert len(payloads) == len(set(payloads)), "once"
            assert payloads == [str(number) for number in range(count)], "in order"

"""SIGHUP: is the file read again as a whole, and do those who are not concerned stay?"""

import contextlib
import itertools
import shutil
import signal

import pytest

from brokers import Drawbridge, accepts, free_port
from certificates import Certificates, TLSWire
from clients import PahoClient, PahoFive
from eventually import eventually
from login_storm import hashed, log_in
from publishers import PahoPublisher
from wire import DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBREC, Wire

CLIENTS = 1000


def rules(topic):
    return f'rules = [ {{ allow = "both", who = "all", topics = ["{topic}/#"] }} ]\n'


@pytest.fixture
def node(tmp_path):
    node = Drawbridge(tmp_path, more='[auth]\nanonymous = true\nusers.file = "users"\n[acl]\nfile = "acl.toml"\n')
    write_users(node, ["ann"])
    (node.folder / "acl.toml").write_text(rules("open"))
    yield node.start()
    node.clean_up()


def write_users(node, names):
    """In one step, as `drawbridge passwd` writes it."""
    fresh = node.folder / "users.new"
    fresh.write_text("".join(f"{name}:{hashed(name, 4)}\n" for name in names))
    fresh.chmod(0o600)
    fresh.rename(node.folder / "users")


def hang_up(node, line):
    count = node.log().count(line)
    node.process.send_signal(signal.SIGHUP)
    eventually(lambda: f'the log says "{line}" once more{node.log_tail()}', lambda: node.log().count(line) > count)


def ask_to_publish(wire, topic, packet_id):
    wire.publish(topic, b"x", 1, packet_id)
    answer = wire.read()
    assert answer.kind == PUBACK, answer
    return answer.body[2] if len(answer.body) > 2 else 0


def test_ten_reloads_of_users_and_rules_leave_a_thousand_clients_alone(node):
    clients = [Wire(node.port, f"c{index}", clean=True) for index in range(CLIENTS)]
    for number in range(10):
        leaver, code = log_in(node.port, f"leaver{number}", f"leaver{number}", version=5) if number else (None, 0)
        assert code == 0
        write_users(node, ["ann", f"leaver{number + 1}"])
        (node.folder / "acl.toml").write_text(rules(f"topic{number}"))
        hang_up(node, 'configuration read again detail="changed: [acl]"')
        asker = clients[number]
        assert ask_to_publish(asker, f"topic{number}/x", 1) == 0x10, "nobody subscribed, and it is allowed"
        assert ask_to_publish(asker, "open/x", 2) == 0x87
        eventually("the users are read again", lambda: node.log().count("users read again") == number + 1)
        if leaver:
            assert leaver.read().kind == DISCONNECT, "who is gone is told"
            leaver.close()
    for client in clients:
        client.send(PINGREQ)
    for client in clients:
        assert client.read().kind == PINGRESP
        client.close()


def test_a_subscription_sleeps_while_the_rules_do_not_allow_it(node):
    with Wire(node.port, "reader", clean=True) as reader, Wire(node.port, "writer", clean=True) as writer:
        reader.subscribe("open/#", 1)
        (node.folder / "acl.toml").write_text(
            'rules = [ { allow = "publish", who = "all", topics = ["#"] } ]\n'
        )
        hang_up(node, "configuration read again")
        ask_to_publish(writer, "open/hidden", 1)
        (node.folder / "acl.toml").write_text(rules("open"))
        hang_up(node, "configuration read again")
        ask_to_publish(writer, "open/seen", 2)
        assert reader.publication(reader.read()).topic == "open/seen"


def test_a_broken_file_changes_nothing_and_is_named(node):
    with Wire(node.port, "writer", clean=True) as writer:
        (node.folder / "acl.toml").write_text(rules("other") + "rules = oops\n")
        hang_up(node, "configuration not taken, everything stays as it was")
        assert "acl.toml:2" in node.log()
        assert ask_to_publish(writer, "open/x", 1) == 0x10


def test_what_needs_a_restart_is_named_and_nothing_else_is_taken_with_it(node):
    with Wire(node.port, "writer", clean=True) as writer:
        text = node.config_file.read_text()
        node.config_file.write_text(text + "[limits]\nmax_connections = 7\ninflight = 7\n")
        (node.folder / "acl.toml").write_text(rules("other"))
        hang_up(node, "a restart is needed for limits.max_connections")
        assert ask_to_publish(writer, "open/x", 1) == 0x10
        node.config_file.write_text(text)
        hang_up(node, "configuration read again")
        assert ask_to_publish(writer, "open/x", 2) == 0x87


# Links


def write_links(node, **links):
    """Each link is a file of its own; files of others go."""
    folder = node.folder / "links"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in links.items():
        (folder / f"{name}.toml").write_text(text)


def link(name, port, keepalive=30, more=""):
    """Both ways for the topics below its name; quick to come back."""
    return f"""
[[link]]
name = "{name}"
addresses = ["mqtt://127.0.0.1:{port}"]
keepalive = "{keepalive}s"
backoff = {{ base = "100ms", cap = "1s" }}
{more}
[[link.both]]
filter = "{name}/#"
qos = 2
"""


def linked_node(brokers, **links):
    node = brokers.drawbridge("a", more='include = ["links/*.toml"]\n')
    write_links(node, **links)
    return node.start()


def connections(node, name):
    """How often the link connected, by the log of the node."""
    return sum("link connected" in line and f'link="{name}"' in line for line in node.log().splitlines())


def test_links_come_change_and_go_while_others_do_not_notice(brokers):
    hub, branch = brokers.mosquitto("hub").start(), brokers.mosquitto("branch").start()
    node = linked_node(brokers, hub=link("hub", hub.port))
    node.wait_for_link("hub")
    with PahoClient(node, "here") as here, PahoClient(hub, "at-hub") as at_hub:
        at_hub.subscribe("#", 2)
        with PahoClient(branch, "at-branch", clean=False) as at_branch:
            at_branch.subscribe("branch/#", 2)

            write_links(node, hub=link("hub", hub.port), branch=link("branch", branch.port))
            hang_up(node, 'configuration read again detail="changed: link branch added"')
            node.wait_for_link("branch")
            here.publish("branch/1", "added", 2)
            at_branch.wait_for(1)

            write_links(node, hub=link("hub", hub.port), branch=link("branch", branch.port, keepalive=7))
            hang_up(node, 'configuration read again detail="changed: link branch changed"')
            eventually("the changed link connects anew", lambda: connections(node, "branch") == 2)
            node.wait_for_link("branch")
            assert "k7" in branch.log(), branch.log_tail()
            here.publish("branch/1", "changed", 2)
            at_branch.wait_for(2)

            # What waits when a link goes is told, kept, and sent when the link is named again.
            at_branch.close()
            assert branch.stop() == 0
            for number in range(5):
                here.publish("branch/1", str(number), 1 + number % 2)
            eventually("five wait", lambda: node.link("branch")["queued"] == 5)
            write_links(node, hub=link("hub", hub.port))
            hang_up(node, 'configuration read again detail="changed: link branch removed"')
            assert "5 messages stay in the spool" in node.log()
            assert node.link("branch") is None
            here.publish("branch/1", "nobody is there", 1)
            branch.restart()
            write_links(node, hub=link("hub", hub.port), branch=link("branch", branch.port))
            hang_up(node, "link branch added")
        with PahoClient(branch, "at-branch", clean=False) as at_branch:
            messages = [message.payload for message in at_branch.wait_for(5)]
            # Order is a promise for each quality.
            assert sorted(messages) == ["0", "1", "2", "3", "4"]
            eventually("nothing waits", lambda: node.link("branch")["queued"] == 0)

        here.publish("hub/1", "still the first connection", 2)
        assert [message.payload for message in at_hub.wait_for(1)] == ["still the first connection"]
    assert connections(node, "hub") == 1
    assert hub.log().count("as a.hub") == 1, "the upstream saw one connection"


def test_a_link_that_is_removed_says_disconnect(brokers):
    hub = brokers.mosquitto("hub").start()
    node = linked_node(brokers, hub=link("hub", hub.port))
    node.wait_for_link("hub")
    write_links(node)
    hang_up(node, "link hub removed")
    eventually(lambda: hub.log_tail(), lambda: "Client a.hub disconnected." in hub.log())
    assert 'link removed detail="0 messages' in node.log()


def test_every_message_crosses_once_while_its_link_changes_twenty_times(brokers):
    hub = brokers.mosquitto("hub").start()
    node = linked_node(brokers, hub=link("hub", hub.port, keepalive=10))
    node.wait_for_link("hub")
    with PahoClient(hub, "at-hub") as there, PahoClient(node, "at-node") as here:
        there.subscribe("hub/up/#", 2)
        here.subscribe("hub/down/#", 2)
        up = PahoPublisher(node, "hub/up/1", "up", 2, 1000)
        down = PahoPublisher(hub, "hub/down/1", "down", 2, 1000)
        for publisher in (up, down):
            publisher.second_half.set()
            publisher.start()
        for number in range(20):
            write_links(node, hub=link("hub", hub.port, keepalive=11 + number))
            hang_up(node, "link hub changed")
            count = len(there.messages)
            eventually(
                lambda: f"the link goes on: {node.link('hub')} {up} {down}{node.log_tail()}",
                lambda: len(there.messages) > count or up.has(1000),
            )
        eventually(lambda: f"{up} {down}", lambda: up.has(1000) and down.has(1000), 60)
        assert [message.payload for message in there.wait_for(1000, 60)] == up.payloads
        assert [message.payload for message in here.wait_for(1000, 60)] == down.payloads
        node.wait_for_link("hub")
        eventually(lambda: f"nothing waits: {node.health()}", lambda: node.link("hub")["queued"] == 0)
        assert len(there.messages) == len(here.messages) == 1000


def test_what_a_rule_that_is_gone_subscribed_to_is_not_sent_any_more(brokers):
    """The upstream keeps the session of a link, and with it the subscriptions of rules that are long gone."""
    hub = brokers.mosquitto("hub", more="log_type subscribe\nlog_type unsubscribe").start()
    both = link("hub", hub.port)
    node = linked_node(brokers, hub=both + '[[link.in]]\nfilter = "news/#"\n')
    node.wait_for_link("hub")
    write_links(node, hub=both)
    hang_up(node, "link hub changed")
    eventually(lambda: hub.log_tail(), lambda: ": a.hub news/#" in hub.log())
    eventually("it connects anew", lambda: connections(node, "hub") == 2)


def test_a_link_whose_certificates_cannot_be_used_changes_nothing(brokers):
    hub = brokers.mosquitto("hub").start()
    node = linked_node(brokers, hub=link("hub", hub.port))
    node.wait_for_link("hub")
    broken = link("safe", 8883).replace("mqtt://", "mqtts://") + '[link.tls]\nca = "missing.pem"\n'
    write_links(node, safe=broken)
    hang_up(node, "configuration not taken, everything stays as it was")
    assert "missing.pem" in node.log()
    assert node.link("hub")["state"] == "live" and node.link("safe") is None
    assert connections(node, "hub") == 1


def test_the_queue_of_a_link_gets_other_bounds(brokers):
    hub = brokers.mosquitto("hub").start()
    node = linked_node(brokers, hub=link("hub", hub.port))
    node.wait_for_link("hub")
    small = link("hub", hub.port) + "[link.spool]\nmax_messages = 3\n"
    write_links(node, hub=small)
    hang_up(node, "changed: [link.spool] of link hub")
    assert hub.stop() == 0
    node.wait_for_link("hub", state="backing off")
    with PahoFive(node, "here") as here:
        for number in range(3):
            here.publish("hub/1", str(number), 1)
        eventually("three wait", lambda: node.link("hub")["queued"] == 3)
        eventually("no more do", lambda: "queue full" in node.log())
        # More room, and another policy, for the queue that is full.
        write_links(node, hub=link("hub", hub.port) + '[link.spool]\nmax_messages = 4\non_full = "drop-oldest"\n')
        hang_up(node, "changed: [link.spool] of link hub")
        for number in range(3, 6):
            here.publish("hub/1", str(number), 1)
        eventually("four wait", lambda: node.link("hub")["queued"] == 4)


# Listeners


def listener(name, port, more=""):
    return f'[[listener]]\nname = "{name}"\ntype = "mqtt"\nbind = ["127.0.0.1:{port}"]\n{more}\n'


def test_listeners_open_and_close_and_who_is_inside_stays(node):
    text, port = node.config_file.read_text(), free_port()
    assert not accepts(port)
    node.config_file.write_text(text + listener("extra", port))
    hang_up(node, f'detail="changed: listener extra at 127.0.0.1:{port} opened"')
    with Wire(port, "guest", clean=True) as guest, Wire(node.port, "resident", clean=True) as resident:
        assert ask_to_publish(guest, "open/x", 1) == 0x10
        node.config_file.write_text(text)
        hang_up(node, f'detail="changed: listener extra at 127.0.0.1:{port} closed"')
        assert not accepts(port)
        assert ask_to_publish(guest, "open/x", 2) == 0x10, "who came in there stays"
        assert ask_to_publish(resident, "open/x", 1) == 0x10
        assert node.stop() == 0
        assert guest.read().kind == DISCONNECT, "and is told like everybody when the node ends"


def test_a_listener_that_cannot_open_takes_the_whole_reload_with_it(node, brokers):
    other = brokers.mosquitto().start()
    text, port = node.config_file.read_text(), free_port()
    (node.folder / "acl.toml").write_text(rules("other"))
    node.config_file.write_text(text + listener("good", port) + listener("bad", other.port))
    hang_up(node, "configuration not taken, everything stays as it was")
    assert f"127.0.0.1:{other.port} (listener \\\"bad\\\"): the port is in use" in node.log(), node.log_tail()
    assert not accepts(port), "what was opened before is closed"
    with Wire(node.port, "writer", clean=True) as writer:
        assert ask_to_publish(writer, "open/x", 1) == 0x10, "the old rules"
    # What is in the way goes, and the same file is taken.
    assert other.stop() == 0
    hang_up(node, "listener good at")
    with Wire(port, "a", clean=True), Wire(other.port, "b", clean=True):
        pass


def test_certificates_of_a_listener_that_came_later_are_watched_at_all_its_addresses(node, tmp_path):
    old = Certificates(tmp_path / "old")
    text, first, second = node.config_file.read_text(), free_port(), free_port()
    tls = f'[listener.tls]\ncert = "{old.server_crt}"\nkey = "{old.server_key}"\n'
    node.config_file.write_text(text + listener("safe", first, tls))
    hang_up(node, f"listener safe at 127.0.0.1:{first} opened")
    guest = TLSWire(first, "guest", context=old.context(), clean=True)
    # One more address of the same listener: those who are inside do not notice.
    both = listener("safe", first, tls).replace(f'"127.0.0.1:{first}"', f'"127.0.0.1:{first}", "127.0.0.1:{second}"')
    node.config_file.write_text(text + both)
    hang_up(node, f'detail="changed: listener safe at 127.0.0.1:{second} opened"')
    fresh = Certificates(tmp_path / "fresh")
    for name in ("server.crt", "server.key"):
        shutil.move(fresh.folder / name, old.folder / name)
    eventually("the new files are seen", lambda: "new certificate" in node.log())
    for port in (first, second):
        with TLSWire(port, f"new-{port}", context=fresh.context(), clean=True) as wire:
            assert wire.serial != guest.serial
    assert node.log().count("new certificate") == 1
    assert ask_to_publish(guest, "open/x", 1) == 0x10
    guest.close()


def test_an_open_address_that_would_mean_something_else_needs_a_restart(node):
    text = node.config_file.read_text()
    node.config_file.write_text(text.replace(f'type = "mqtt"\nbind = ["127.0.0.1:{node.port}"]', f'type = "web"\nbind = ["127.0.0.1:{node.port}"]'))
    assert node.config_file.read_text() != text
    hang_up(node, f"a restart is needed for listener mqtt at 127.0.0.1:{node.port}")
    with Wire(node.port, "writer", clean=True) as writer:
        assert ask_to_publish(writer, "open/x", 1) == 0x10


# Simple values


def test_limits_are_taken_at_once(node):
    with Wire(node.port, "writer", clean=True) as writer:
        writer.publish("open/1", b"fits", 1, 1, retain=True)
        assert writer.read().kind == PUBACK
        text = node.config_file.read_text()
        node.config_file.write_text(text + '[limits]\nmax_clientid = 23\n[retained]\nmax_payload = "1B"\n')
        hang_up(node, 'detail="changed: [limits], [retained]"')
        writer.publish("open/1", b"too long", 1, 2, retain=True)
        assert writer.read().body[2] == 0x97
        with pytest.raises(AssertionError, match="refused with 0x85"):
            Wire(node.port, "x" * 24)


def test_the_log_level_is_taken_at_once(node):
    text = node.config_file.read_text()
    numbers = itertools.count()

    def is_logged():
        name = f"probe{next(numbers)}"
        with Wire(node.port, name, clean=True) as probe:
            probe.send(PINGREQ)
            assert probe.read().kind == PINGRESP
            return f'client="{name}"' in node.log()

    assert is_logged()
    node.config_file.write_text(text + '[log]\nlevel = "error"\n')
    node.process.send_signal(signal.SIGHUP)
    eventually("nobody is logged", lambda: not is_logged())
    node.config_file.write_text(text)
    hang_up(node, 'configuration read again detail="changed: [log]"')
    assert is_logged()


def test_who_was_promised_more_may_go_on_with_it(node):
    text = node.config_file.read_text()
    with Wire(node.port, "writer", clean=True) as writer:
        node.config_file.write_text(text + "[limits]\nreceive_maximum = 1\n")
        hang_up(node, "changed: [limits]")
        for number in range(1, 6):
            writer.publish("open/1", b"x", 2, number)
        assert [writer.read().kind for _ in range(5)] == [PUBREC] * 5


def test_ten_reloads_of_one_link_leave_a_thousand_clients_and_the_other_links_alone(brokers):
    hubs = {name: brokers.mosquitto(name).start() for name in ("hub", "branch", "depot")}
    ports = {name: hub.port for name, hub in hubs.items()}
    node = linked_node(brokers, **{name: link(name, port) for name, port in ports.items()})
    for name in hubs:
        node.wait_for_link(name)
    with contextlib.ExitStack() as stack:
        # Before the thousand: paho waits by select(), which knows no descriptor above 1,023.
        at_depot = stack.enter_context(PahoClient(hubs["depot"], "at-depot"))
        here = stack.enter_context(PahoClient(node, "here"))
        at_depot.subscribe("depot/#", 2)
        clients = [stack.enter_context(Wire(node.port, f"c{index}", clean=True)) for index in range(CLIENTS)]
        for number in range(10):
            links = {name: link(name, port) for name, port in ports.items()}
            # Every other time it wants another filter of its upstream, and the one before no more.
            incoming = f'[[link.in]]\nfilter = "only/{number}"\n' if number % 2 else ""
            links["branch"] = link("branch", ports["branch"], keepalive=10 + number) + incoming
            write_links(node, **links)
            hang_up(node, 'configuration read again detail="changed: link branch changed"')
            eventually("it connects anew", lambda: connections(node, "branch") == number + 2)
            node.wait_for_link("branch")
            here.publish("depot/1", str(number), 2)
        assert [message.payload for message in at_depot.wait_for(10)] == [str(number) for number in range(10)]
        assert [connections(node, name) for name in ("hub", "branch", "depot")] == [1, 11, 1]
        for client in clients:
            client.send(PINGREQ)
        for client in clients:
            assert client.read().kind == PINGRESP
    with PahoClient(hubs["branch"], "at-branch") as at_branch, PahoClient(node, "here") as here:
        here.subscribe("only/#", 2)
        here.subscribe("branch/#", 2)
        write_links(node, **{name: link(name, port) for name, port in ports.items()})
        hang_up(node, 'configuration read again detail="changed: link branch changed"')
        node.wait_for_link("branch")
        for number in range(10):
            at_branch.publish(f"only/{number}", "not wanted any more", 1)
        at_branch.publish("branch/last", "wanted", 1)
        assert [message.topic for message in here.wait_for(1)] == ["branch/last"]

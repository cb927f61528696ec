"""SIGHUP: is the file read again as a whole, and do those who are not concerned stay?"""

import signal

import pytest

from brokers import Drawbridge
from eventually import eventually
from login_storm import hashed, log_in
from wire import DISCONNECT, PINGREQ, PINGRESP, PUBACK, Wire

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
        node.config_file.write_text(text + "[limits]\ninflight = 7\n")
        (node.folder / "acl.toml").write_text(rules("other"))
        hang_up(node, "a restart is needed for [limits]")
        assert ask_to_publish(writer, "open/x", 1) == 0x10
        node.config_file.write_text(text)
        hang_up(node, "configuration read again")
        assert ask_to_publish(writer, "open/x", 2) == 0x87

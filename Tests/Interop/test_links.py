"""Do links carry what their rules say, to brokers of others and between our own, and keep what waits for a dead line?"""

import json
import subprocess

import pytest

from brokers import free_port, link_to, program
from clients import Message, PahoClient, PahoFive
from eventually import eventually
from raw_http import ask, told


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_a_link_carries_every_quality_both_ways_once(brokers, protocol):
    # Between the brokers of others, we are a client to them and a server to ours [311:MQTT-7.0.0-1].
    hub = brokers.mosquitto("hub").start()
    # What keeps the hub from sending back what it got from us: No Local in version 5, a bit of mosquitto's before it.
    more = "bridge_bit = true" if protocol == "3.1.1" else ""
    a = brokers.drawbridge("a", links=link_to(hub.port, protocol=protocol, more=more)).start()
    a.wait_for_link()
    with PahoClient(hub, "at-hub") as there, PahoClient(a, "at-a") as here:
        there.subscribe("chat/#", 2)
        here.subscribe("chat/#", 2)
        expected = []
        for qos in (0, 1, 2):
            for speaker, name in ((here, "a"), (there, "hub")):
                speaker.publish(f"chat/{name}", f"{name} at {qos}", qos)
                expected.append((f"chat/{name}", f"{name} at {qos}", qos))
                there.wait_for(len(expected))
                here.wait_for(len(expected))
        for client in (there, here):
            assert [(m.topic, m.payload, m.qos) for m in client.messages] == expected


def test_rules_map_topics_and_cap_the_quality(brokers):
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge(
        "a",
        links=f"""
[[link]]
name = "hub"
addresses = ["mqtt://127.0.0.1:{hub.port}"]
[[link.out]]
filter = "sensors/#"
to = "site/x/{{topic}}"
qos = 1
[[link.in]]
filter = "site/x/cmd/#"
to = "from/{{topic}}"
qos = 2
[[link.both]]
filter = "room/#"
local_prefix = "here/"
remote_prefix = "there/"
""",
    ).start()
    a.wait_for_link()
    with PahoFive(hub, "at-hub") as there, PahoFive(a, "at-a") as here:
        there.subscribe("#", 2)
        here.subscribe("#", 2)
        here.publish("other/1", "stays", 1)
        here.publish("sensors/1", "twenty", 2)
        assert there.wait_for(1) == [Message("site/x/sensors/1", "twenty", 1, False)]
        there.publish("site/x/cmd/door/open", "now", 2)
        assert here.wait_for(3)[2] == Message("from/site/x/cmd/door/open", "now", 2, False)
        here.publish("here/room/1", "hello", 1)
        assert there.wait_for(3)[2] == Message("there/room/1", "hello", 1, False)
        there.publish("there/room/2", "hello back", 1)
        assert here.wait_for(5)[4] == Message("here/room/2", "hello back", 1, False)


def test_a_link_says_who_it_is_and_a_wrong_password_shows_in_its_state(brokers, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.touch()
    subprocess.run([program("mosquitto_passwd"), "-b", passwords, "edge", "right"], check=True)
    passwords.chmod(0o644)
    hub = brokers.mosquitto("hub", more=f"password_file {passwords}")
    hub.config_file.write_text(hub.config_file.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    hub.start()
    (tmp_path / "secret").write_text("right\n")
    login = 'username = "edge"\npassword = '
    links = link_to(hub.port).replace("[[link.both]]", f'{login}{{ file = "{tmp_path}/secret" }}\n[[link.both]]')
    good = brokers.drawbridge("good", links=links).start()
    bad = brokers.drawbridge("bad", links=links.replace(f'{{ file = "{tmp_path}/secret" }}', '"wrong"')).start()
    good.wait_for_link()
    # The hub has seen both by the time that it accepted one and refused the other.
    eventually(lambda: hub.log_tail(), lambda: "not authorised" in hub.log() or "Not authorized" in hub.log())
    assert bad.link()["state"] != "live"
    assert "wrong" not in bad.log(), "a password stands in the log"


def test_what_waits_for_a_dead_line_is_counted_told_and_sent_when_it_returns(brokers):
    hub = brokers.mosquitto("hub").start()
    with PahoClient(hub, "at-hub", clean=False) as there:
        there.subscribe("chat/#", 2)
        there.close()
    assert hub.stop() == 0
    a = brokers.drawbridge("a", links=link_to(hub.port)).start()
    for number in range(50):
        reply = ask(a.web_port, "POST", "/v1/publish/chat/x?qos=1", str(number).encode())
        assert reply.status == 200
        assert told(reply)["durable"] is True and [link["name"] for link in told(reply)["links"]] == ["hub"]
    assert ask(a.web_port, "POST", "/v1/publish/elsewhere?qos=1", b"x").status == 200
    eventually(lambda: f"50 wait: {a.health()}", lambda: a.link()["queued"] == 50)
    a.kill()
    a.restart()
    eventually(lambda: f"50 wait after the kill: {a.health()}", lambda: a.link()["queued"] == 50)

    hub.restart()
    a.wait_for_link()
    with PahoClient(hub, "at-hub", clean=False) as there:
        there.resume("chat/#", 2)
        assert [message.payload for message in there.wait_for(50)] == [str(number) for number in range(50)]
    eventually(lambda: f"nothing waits: {a.health()}", lambda: a.link()["queued"] == 0)


def test_a_chain_of_our_own_brokers_delivers_once_through_a_kill_of_each(brokers):
    """far <- middle <- near: what near acknowledged at QoS 2 arrives at far once, whoever dies on the way."""
    far = brokers.drawbridge("far").start()
    middle = brokers.drawbridge("middle", links=link_to(far.port)).start()
    near = brokers.drawbridge("near", links=link_to(middle.port)).start()
    near.wait_for_link()
    middle.wait_for_link()
    with PahoClient(far, "reader", clean=False) as reader:
        reader.subscribe("chat/#", 2)
        reader.close()
    sent = 0
    with PahoClient(near, "writer") as writer:
        for victim in (middle, far, near):
            # Some arrive before, some are on the way, some come while it is dead.
            for number in range(40):
                if number == 20:
                    victim.kill()
                    if victim is near:
                        break
                writer.publish("chat/x", str(sent), 2)
                sent += 1
            victim.restart()
    near.wait_for_link()
    middle.wait_for_link()
    with PahoClient(far, "reader", clean=False) as reader:
        reader.resume("chat/#", 2)
        reader.wait_for(sent, 60)
        assert ask(near.web_port, "POST", "/v1/publish/chat/x?qos=2", b"last").status == 200
        messages = reader.wait_for(sent + 1, 60)
        assert [message.payload for message in messages] == [*map(str, range(sent)), "last"]
        reader.close()


def test_healthz_is_json_that_names_each_link(brokers):
    a = brokers.drawbridge("a", links=link_to(free_port())).start()
    health = json.loads(ask(a.web_port, "GET", "/healthz").body)
    assert health["status"] == "ok" and [link["name"] for link in health["links"]] == ["hub"]
    assert health["links"][0]["state"] != "live" and health["links"][0]["queued"] == 0

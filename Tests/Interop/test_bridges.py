"""Are the files in bridges/ sound, and do they carry what their comments promise when real brokers load them?"""

import os
import pathlib
import subprocess

import pytest

from brokers import drawbridge_binary
from clients import Message, PahoClient, PahoFive
from upstreams import UPSTREAMS

BRIDGES = pathlib.Path(__file__).resolve().parents[2] / "bridges"
FILES = sorted(BRIDGES.glob("*.toml"))
CERTIFICATES = ["AWS_CERTIFICATE", "AWS_KEY", "EVENT_GRID_CERTIFICATE", "EVENT_GRID_KEY"]


def including(file):
    """What an operator writes under [node] to take up a file of bridges/, as README.md there says."""
    return f'include = ["{BRIDGES / file}"]\n[defaults.link]\nbackoff = {{ base = "100ms", cap = "1s" }}\n'


def linked(brokers, name, file, **variables):
    """A running node that took up `file`, its variables set in the environment."""
    node = brokers.drawbridge(name, more=including(file))
    return node.start(environment={key: str(value) for key, value in variables.items()})


def test_the_bridges_are_those_that_the_readme_lists():
    text = (BRIDGES / "README.md").read_text()
    assert FILES and [file.name for file in FILES if f"`{file.name}`" not in text] == []


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """The variables that name a certificate, as a cloud gives one to each device."""
    folder = tmp_path_factory.mktemp("device") / "tls"
    subprocess.run([drawbridge_binary(), "cert", "init", folder], check=True, capture_output=True, timeout=30)
    return {name: str(folder / ("client.key" if name.endswith("KEY") else "client.crt")) for name in CERTIFICATES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_bridge_is_a_sound_configuration_with_nothing_set_but_a_certificate(file, device):
    plain = {"PATH": os.environ["PATH"], **device}
    result = subprocess.run(
        [drawbridge_binary(), "check", "--config", str(file)], capture_output=True, text=True, env=plain, timeout=30
    )
    assert result.returncode == 0 and "warning" not in result.stdout, result


def test_a_pair_shares_a_room_once(brokers):
    left = brokers.drawbridge("left").start()
    right = linked(brokers, "right", "pair.toml", PEER_HOST="127.0.0.1", PEER_PORT=left.port)
    right.wait_for_link("peer")
    with PahoFive(left, "l") as here, PahoFive(right, "r") as there:
        for person in (here, there):
            person.subscribe("#", 2)
        for number in range(10):
            for person in (here, there):
                person.publish("shared/room", f"{person.client_id} {number}", 2)
                for listener in (here, there):
                    listener.wait_for(2 * number + (1 if person is here else 2))
        here.publish("own/room", "stays", 1)
        expected = [f"{name} {number}" for number in range(10) for name in ("l", "r")]
        assert [m.payload for m in here.wait_for(21)] == [*expected, "stays"]
        assert [m.payload for m in there.messages] == expected


def test_a_star_of_three_sites_reports_to_one_hub_and_each_gets_its_own_commands(brokers):
    hub = brokers.drawbridge("hub").start()
    sites = ["north", "east", "west"]
    nodes = [
        linked(brokers, site, "site-to-hub.toml", HUB_HOST="127.0.0.1", HUB_PORT=hub.port, SITE=site) for site in sites
    ]
    for node in nodes:
        node.wait_for_link()
    with PahoFive(hub, "at-hub") as centre:
        centre.subscribe("site/+/sensors/#", 1)
        for count, node in enumerate(nodes, 1):
            with PahoFive(node, "sensor") as sensor:
                sensor.publish("sensors/level", node.name, 1)
                centre.wait_for(count)
        assert {(m.topic, m.payload) for m in centre.messages} == {(f"site/{s}/sensors/level", s) for s in sites}
        with PahoFive(nodes[0], "valve") as valve, PahoFive(nodes[1], "valve") as other:
            valve.subscribe("cmd/#", 1)
            other.subscribe("cmd/#", 1)
            centre.publish("site/north/cmd/valve", "open", 1)
            centre.publish("site/east/cmd/valve", "shut", 1)
            assert valve.wait_for(1) == [Message("cmd/valve", "open", 1, False)]
            assert other.wait_for(1) == [Message("cmd/valve", "shut", 1, False)]


def circle(brokers, names, file, environment):
    """Nodes that load the same file; their ports are known before the first starts."""
    nodes = {name: brokers.drawbridge(name, more=including(file)) for name in names}
    for name, node in nodes.items():
        node.start(environment={key: str(value) for key, value in environment(name, nodes).items()})
    return nodes


def everybody_hears_everybody_once(nodes, rounds=5):
    listeners = {name: PahoFive(node, "listener") for name, node in nodes.items()}
    for listener in listeners.values():
        listener.subscribe("from/#", 2)
    expected = []
    for number in range(rounds):
        for name, speaker in listeners.items():
            speaker.publish(f"from/{name}/news", f"{name} {number}", 2)
            expected.append(f"{name} {number}")
            for listener in listeners.values():
                listener.wait_for(len(expected))
    for listener in listeners.values():
        # Whatever would have come round again had the time of all later rounds to do so.
        assert [message.payload for message in listener.messages] == expected
        listener.close()


def test_a_ring_of_three_brings_each_message_to_each_node_once(brokers):
    names = ["a", "b", "c"]

    def environment(name, nodes):
        at = names.index(name)
        next_port = nodes[names[(at + 1) % 3]].port
        return {"NODE": name, "PREVIOUS": names[at - 1], "NEXT_HOST": "127.0.0.1", "NEXT_PORT": next_port}

    nodes = circle(brokers, names, "ring.toml", environment)
    for node in nodes.values():
        node.wait_for_link("next")
    everybody_hears_everybody_once(nodes)


def test_a_full_mesh_of_four_brings_each_message_to_each_node_once(brokers):
    names = ["a", "b", "c", "d"]

    def environment(name, nodes):
        peers = [nodes[other].port for other in names if other != name]
        hosts = {f"PEER_{number}_HOST": "127.0.0.1" for number in (1, 2, 3)}
        return {"NODE": name, **hosts, **{f"PEER_{number}_PORT": port for number, port in enumerate(peers, 1)}}

    nodes = circle(brokers, names, "mesh.toml", environment)
    for node in nodes.values():
        for number in (1, 2, 3):
            node.wait_for_link(f"peer-{number}")
    everybody_hears_everybody_once(nodes)


@pytest.mark.parametrize("name", ["nats", "rabbitmq", "ejabberd"])
def test_a_site_reports_to_the_broker_of_somebody_else(brokers, tmp_path, name):
    upstream = brokers.keep(UPSTREAMS[name](tmp_path, name)).start()
    variables = {f"{name.upper()}_HOST": "127.0.0.1", f"{name.upper()}_PORT": upstream.port, "SITE": "quay"}
    site = linked(brokers, "site", f"{name}-upstream.toml", **variables)
    site.wait_for_link(name)
    client = PahoFive if upstream.client_version == 5 else PahoClient
    with client(upstream, "at-upstream") as there, PahoFive(site, "at-site") as here:
        there.subscribe("site/#", 1)
        here.subscribe("#", 2)
        here.publish("sensors/hall", "21", 2)
        assert there.wait_for(1) == [Message("site/quay/sensors/hall", "21", 1, False)]
        downward = "chat/lobby" if name == "ejabberd" else "cmd/quay/door"
        there.publish(downward, "open", 1)
        assert here.wait_for(2) == [Message("sensors/hall", "21", 2, False), Message(downward, "open", 1, False)]


def test_a_site_reports_to_a_drawbridge_and_takes_its_commands(brokers):
    hub = brokers.drawbridge("hub").start()
    site = linked(brokers, "site", "site-to-hub.toml", HUB_HOST="127.0.0.1", HUB_PORT=hub.port, SITE="quay")
    site.wait_for_link()
    with PahoFive(hub, "at-hub") as there, PahoFive(site, "at-site") as here:
        there.subscribe("#", 2)
        here.subscribe("cmd/#", 2)
        here.publish("elsewhere", "stays", 1)
        here.publish("sensors/hall/temperature", "21", 2)
        assert there.wait_for(1) == [Message("site/quay/sensors/hall/temperature", "21", 1, False)]
        there.publish("site/other/cmd/door", "not ours", 1)
        there.publish("site/quay/cmd/door", "open", 1)
        assert here.wait_for(1) == [Message("cmd/door", "open", 1, False)]
        here.publish("cmd/door/done", "open", 1)
        assert there.wait_for(4)[3] == Message("site/quay/cmd/door/done", "open", 1, False)
        assert len(here.wait_for(2)) == 2, "nothing came back over the link"


def test_a_lab_shares_its_topics_with_mosquitto(brokers):
    upstream = brokers.mosquitto("upstream").start()
    lab = linked(brokers, "lab", "mosquitto-upstream.toml", MOSQUITTO_PORT=upstream.port)
    lab.wait_for_link("mosquitto")
    with PahoClient(upstream, "at-upstream") as there, PahoClient(lab, "at-lab") as here:
        there.subscribe("#", 2)
        here.subscribe("#", 2)
        here.publish("elsewhere", "stays", 1)
        here.publish("lab/oven", "on", 1)
        assert there.wait_for(1) == [Message("site/lab/oven", "on", 1, False)]
        there.publish("site/lab/oven/set", "180", 1)
        assert here.wait_for(3) == [
            Message("elsewhere", "stays", 1, False),
            Message("lab/oven", "on", 1, False),
            Message("lab/oven/set", "180", 1, False),
        ]
        # What went up has had the time of a way up and down again, and has not come back.
        here.publish("lab/last", "off", 1)
        assert [message.topic for message in there.wait_for(3)] == ["site/lab/oven", "site/lab/oven/set", "site/lab/last"]
        assert len(here.wait_for(4)) == 4


def test_a_chain_of_three_carries_rooms_both_ways_alarms_up_and_news_down(brokers):
    office = brokers.drawbridge("office").start()
    region = linked(brokers, "region", "chain.toml", NEXT_HOST="127.0.0.1", NEXT_PORT=office.port)
    works = linked(brokers, "works", "chain.toml", NEXT_HOST="127.0.0.1", NEXT_PORT=region.port)
    for node in (region, works):
        node.wait_for_link("next")
    with PahoFive(office, "a") as up, PahoFive(region, "b") as between, PahoFive(works, "c") as down:
        people = (up, between, down)
        for person in people:
            person.subscribe("#", 2)
        for count, person in enumerate(people, 1):
            person.publish("chat/lobby", person.client_id, 2)
            for listener in people:
                listener.wait_for(count)
        down.publish("alarm/boiler", "hot", 1)
        for listener in people:
            assert listener.wait_for(4)[3] == Message("alarm/boiler", "hot", 1, False)
        up.publish("news/weather", "storm", 1)
        for listener in people:
            assert listener.wait_for(5)[4] == Message("news/weather", "storm", 1, False)
        # Against the grain nothing travels, and nothing of the above came a second time.
        up.publish("alarm/roof", "for head office only", 1)
        down.publish("news/canteen", "for the works only", 1)
        between.publish("chat/lobby", "end", 2)
        for listener, own in ((up, ["alarm/roof"]), (between, []), (down, ["news/canteen"])):
            heard = listener.wait_for(6 + len(own))
            assert sorted(m.topic for m in heard) == sorted(["chat/lobby"] * 4 + ["alarm/boiler", "news/weather"] + own)
            assert [m.payload for m in heard if m.topic == "chat/lobby"] == ["a", "b", "c", "end"]


def test_a_chain_keeps_what_its_middle_cannot_take(brokers):
    office = brokers.drawbridge("office").start()
    region = linked(brokers, "region", "chain.toml", NEXT_HOST="127.0.0.1", NEXT_PORT=office.port)
    works = linked(brokers, "works", "chain.toml", NEXT_HOST="127.0.0.1", NEXT_PORT=region.port)
    for node in (region, works):
        node.wait_for_link("next")
    with PahoFive(office, "a") as up, PahoFive(works, "c") as down:
        up.subscribe("alarm/#", 1)
        region.kill()
        for number in range(20):
            down.publish("alarm/boiler", str(number), 1)
        region.start(environment={"NEXT_HOST": "127.0.0.1", "NEXT_PORT": str(office.port)})
        up.wait_for(20)
        first_arrivals = list(dict.fromkeys(message.payload for message in up.messages))
        assert first_arrivals == [str(number) for number in range(20)]

"""Are the files in bridges/ sound, and do they carry what their comments promise when real brokers load them?"""

import os
import pathlib
import subprocess

import pytest

from brokers import drawbridge_binary
from clients import Message, PahoClient, PahoFive

BRIDGES = pathlib.Path(__file__).resolve().parents[2] / "bridges"
FILES = sorted(BRIDGES.glob("*.toml"))


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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_bridge_is_a_sound_configuration_with_nothing_set(file):
    plain = {"PATH": os.environ["PATH"]}
    result = subprocess.run(
        [drawbridge_binary(), "check", "--config", str(file)], capture_output=True, text=True, env=plain, timeout=30
    )
    assert result.returncode == 0 and "warning" not in result.stdout, result


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

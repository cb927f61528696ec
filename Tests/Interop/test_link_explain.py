"""Can an operator ask what becomes of a topic over a link, of a file and of a running node, and is there a ring?"""

import json

from brokers import free_port, link_to
from test_command import fails_in_one_line, run, said

RULES = """
[[link.out]]
filter = "sensors/#"
exclude = ["sensors/debug/#"]
to = "site/{node}/{topic}"
qos = 1
"""


def test_a_file_and_a_running_node_say_the_same_of_a_topic(brokers):
    node = brokers.drawbridge("a", links=link_to(free_port(), name="hq").split("[[link.both]]")[0] + RULES).start()
    asked = ("hq", "sensors/1")
    by_file = run("link", "explain", "--config", node.config_file, *asked)
    by_node = run("ctl", "link", "explain", "--data", node.data, *asked)
    assert by_file.returncode == by_node.returncode == 0
    assert said(by_file) == said(by_node)
    assert said(by_file)[0] == 'out: goes to "hq" as site/a/sensors/1'
    answer = json.loads(run("ctl", "link", "explain", "--data", node.data, "--json", *asked).stdout)
    assert answer["out"]["name"] == "site/a/sensors/1" and answer["out"]["rule"] == 1 and "name" not in answer["in"]
    stays = run("ctl", "link", "explain", "--data", node.data, "hq", "sensors/debug/é")
    assert stays.returncode == 1 and 'excluded by "sensors/debug/#"' in stays.stdout
    fails_in_one_line(run("ctl", "link", "explain", "--data", node.data, "hub", "a"), "hub", "hq")
    fails_in_one_line(run("link", "explain", "--config", node.config_file, "hq", "a/#"), "a/#", "topic")


def test_check_sees_a_ring_in_the_files_of_several_nodes(brokers):
    files, ports = [], [free_port() for _ in range(3)]
    for number, name in enumerate("abc"):
        file = brokers.drawbridge(name, links=link_to(ports[(number + 1) % 3], name="up")).config_file
        door = f'[[listener]]\ntype = "mqtt"\nname = "ring"\nbind = ["127.0.0.1:{ports[number]}"]\n'
        file.write_text(file.read_text().replace("[[listener]]", door + "[[listener]]", 1))
        files += ["--config", file]
    ring = run("check", *files)
    assert ring.returncode == 0 and "warning: messages go round" in ring.stdout, ring
    assert "messages go round" not in run("check", *files[:4]).stdout

"""Do access rules hold at every door: MQTT, WebSocket, HTTP, and for what is delivered? Does `acl explain` say the same?"""

import subprocess
import time

import pytest

from brokers import Drawbridge, drawbridge_binary
from clients import Message, PahoClient, PahoFive, PahoFiveWebSocket
from eventually import eventually
from raw_http import ask, told

# Client ids, since they need no password: `boss` may do everything, a phone only what is its own.
RULES = """
[log]
denials = "warning"
[acl]
file = "acl.toml"
"""

FILE = """rules = [
  { allow = "both", who = { client = "boss" }, topics = ["#"] },
  { deny = "both", who = "all", topics = ["secret/#"] },
  { allow = "publish", who = "all", topics = ["user/+/inbox/%c"] },
  { allow = "subscribe", who = "all", topics = ["user/%c/#"] },
  { allow = "both", who = { address = "127.0.0.0/8" }, topics = ["open/#"] },
]
"""


def make(folder, rules=FILE):
    node = Drawbridge(folder, more=RULES)
    if rules is not None:
        (node.folder / "acl.toml").write_text(rules)
    return node


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = make(tmp_path_factory.mktemp("access")).start()
    yield node
    node.clean_up()


@pytest.fixture
def boss(node):
    with PahoFive(node, "boss") as boss:
        boss.subscribe("#", 1)
        yield boss


def publish(client, topic, qos=1):
    """The reason code of the acknowledgement, which paho gives to `on_publish` only."""
    reasons = []
    client.client.on_publish = lambda c, d, mid, reason, properties: reasons.append(reason.value)
    client.client.publish(topic, "x", qos)
    eventually("an acknowledgement arrives", lambda: reasons)
    return reasons[0]


def subscribe(client, filter):
    _, mid = client.client.subscribe(filter, 1)
    eventually("SUBACK arrives", lambda: mid in client.subscribed)
    return client.subscribed[mid][0].value


@pytest.mark.parametrize("door", [PahoFive, PahoFiveWebSocket])
@pytest.mark.parametrize("qos", [1, 2])
def test_version_5_hears_0x87_over_tcp_and_websocket(node, boss, door, qos):
    with door(node, "phone") as phone:
        assert subscribe(phone, "secret/#") == 0x87
        assert subscribe(phone, "#") == 0x87
        assert subscribe(phone, "user/+/#") == 0x87
        assert subscribe(phone, "user/phone/#") == 1
        # paho answers a failing PUBREC with PUBREL, and hears that its identifier is free.
        refused = 0x87 if qos == 1 else 0x92
        assert publish(phone, "secret/x", qos) == refused
        assert publish(phone, "user/boss/inbox/other", qos) == refused
        assert publish(phone, "user/boss/inbox/phone", qos) == 0
        boss.publish("user/phone/hello", "hi", 1)
        assert phone.wait_for(1) == [Message("user/phone/hello", "hi", 1, False)]
    assert [m.topic for m in boss.wait_for(2)] == ["user/boss/inbox/phone", "user/phone/hello"]


def test_version_3_is_acknowledged_and_its_message_is_dropped(node, boss):
    with PahoClient(node, "phone") as phone:
        assert subscribe(phone, "secret/#") == 0x80
        phone.publish("secret/x", "x", 1)
        phone.publish("secret/x", "x", 2)
        phone.publish("open/x", "y", 1)
    assert boss.wait_for(1) == [Message("open/x", "y", 1, False)]


def test_http_is_asked_the_same_and_answers_403_with_a_reason(node, boss):
    refused = ask(node.web_port, "POST", "/v1/publish/secret/x?qos=1", b"x")
    assert refused.status == 403
    assert refused.headers.get_content_type() == "application/problem+json"
    assert told(refused)["status"] == 403 and "not allowed" in told(refused)["detail"]
    # Somebody without a client id is nobody's %c.
    assert ask(node.web_port, "POST", "/v1/publish/user/boss/inbox/?qos=1", b"x").status == 403
    assert ask(node.web_port, "POST", "/v1/publish/$SYS/x?qos=1", b"x").status == 403
    assert ask(node.web_port, "POST", "/v1/publish/open/x?qos=1", b"y").status == 200
    assert boss.wait_for(1) == [Message("open/x", "y", 1, False)]


@pytest.mark.parametrize("name", ["+", "#", "boss/x"])
def test_a_client_id_with_wildcards_opens_nothing(node, boss, name):
    try:
        mallory = PahoFive(node, name)
    except AssertionError as refused:
        assert "CONNECT refused" in str(refused)
        return
    with mallory:
        for filter in ["user/+/#", "user/#", "user/boss/#", "#"]:
            assert subscribe(mallory, filter) == 0x87
        assert publish(mallory, "user/boss/inbox/boss") == 0x87


def test_a_denial_is_a_line_with_who_what_where_and_the_rule(node):
    with PahoFive(node, "teller") as phone:
        time.sleep(1.1)  # what was said of other tests in this second is not said again
        assert publish(phone, "secret/told") == 0x87
    eventually("the log tells of the denial", lambda: 'client="teller"' in node.log())
    line = next(line for line in node.log().splitlines() if 'client="teller"' in line and "denied" in line)
    assert " warning publish denied " in line
    assert "secret/told" in line and "acl.toml:3" in line, line


@pytest.mark.parametrize(
    "rules, complaint",
    [
        (None, "acl.toml: cannot be read"),
        ('rules = [\n{ allow = "publish", who = "all" }\n]', "acl.toml:2: rules[0]: a rule needs `topics`"),
        ("user boss\ntopic readwrite #\n", "acl.toml:1:"),
    ],
)
def test_a_file_of_rules_that_is_missing_or_broken_stops_the_start(tmp_path, rules, complaint):
    node = make(tmp_path, rules)
    run = subprocess.run(node.command, capture_output=True, text=True, timeout=30, cwd=node.folder)
    assert run.returncode == 1
    assert complaint in run.stderr, run.stderr
    assert not (node.data / "spool.db").exists()


def test_an_empty_file_of_rules_allows_nothing(brokers, tmp_path):
    node = brokers.keep(make(tmp_path, "")).start()
    with PahoFive(node, "boss") as boss:
        assert subscribe(boss, "a") == 0x87
        assert publish(boss, "a") == 0x87
    assert ask(node.web_port, "POST", "/v1/publish/a", b"x").status == 403


def explain(node, *arguments):
    command = [drawbridge_binary(), "acl", "explain", "--config", str(node.config_file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_explain_prints_the_rule_and_its_exit_code_is_the_decision(node):
    yes = explain(node, "--client", "phone", "publish", "user/boss/inbox/phone")
    assert yes.returncode == 0, yes
    assert yes.stdout.splitlines()[0] == "allowed: publish user/boss/inbox/phone"
    assert "acl.toml:4: allow publish, who all, topics user/+/inbox/%c" in yes.stdout
    no = explain(node, "--client", "phone", "subscribe", "secret/#")
    assert no.returncode == 1, no
    assert "acl.toml:3: deny both, who all, topics secret/#" in no.stdout
    nothing = explain(node, "--client", "phone", "--address", "10.0.0.1", "publish", "open/x")
    assert nothing.returncode == 1 and "no rule matches" in nothing.stdout
    assert explain(node, "--client", "phone", "--address", "127.0.0.1", "publish", "open/x").returncode == 0
    strange = explain(node, "publish", "a/#")
    assert strange.returncode == 2 and "no topic" in strange.stderr

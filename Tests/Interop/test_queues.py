"""Is a queue bounded by age, does it raise its alarm once and clear it once, and is every message that does not arrive
counted by receiver and by reason?"""

import json
import signal

from brokers import free_port, link_to
from eventually import eventually
from test_command import run
from test_spool_command import collect, overview, publish, sleeper
from wire import Wire


def drops(node, *more):
    result = run("ctl", "drops", "--data", node.data, "--json", *more)
    assert result.returncode == 0, result
    return json.loads(result.stdout)


def reasons(receiver):
    return {reason: count for reason, count in receiver["reasons"].items() if count}


def test_what_waits_for_too_long_goes_by_itself_and_counts_as_aged(brokers):
    node = brokers.drawbridge(
        links=link_to(free_port(), filter="out/#") + '[link.spool]\nmax_age = "1s"\n',
        more='[queue]\nmax_age = "1s"\n',
    ).start()
    sleeper(node, "alice", "#")
    publish(node, "out/1", [b"1", b"2", b"3"])
    eventually(lambda: f"nothing waits: {overview(node)}", lambda: overview(node)["totals"]["messages"] == 0)
    told = drops(node)
    assert told["total"] == 6 and told["reasons"]["aged"] == 6
    assert [(r["name"], r["kind"], reasons(r)) for r in told["receivers"]] == [
        ("alice", "session", {"aged": 3}),
        ("hub", "link", {"aged": 3}),
    ]
    ledger = overview(node)["since_start"]["ledger"]
    assert (ledger["taken"], ledger["waiting"], ledger["dropped"]["aged"]) == (6, 0, 6)
    eventually("the log says it", lambda: "messages dropped" in node.log())
    # Another bound is taken by a running node, for what waits already.
    node.config_file.write_text(node.config_file.read_text().replace('max_age = "1s"', 'max_age = "0s"'))
    node.process.send_signal(signal.SIGHUP)
    eventually("the log says that it was taken", lambda: "configuration read again" in node.log())
    publish(node, "out/1", [b"4"])
    assert overview(node)["totals"]["waiting"] == 2


def test_an_alarm_is_raised_once_and_cleared_once(brokers):
    node = brokers.drawbridge(more="[queue]\nmax_messages = 10\nwatermarks = { low = 0.3, high = 0.8 }\n").start()
    sleeper(node, "al/ice", "t")
    with Wire(node.port, "ops", clean=True) as ops:
        ops.subscribe("$SYS/brokers/+/alarms/#", 1)
        publish(node, "t", [b"x"] * 8)
        raised = ops.publication(ops.read())
        assert raised.topic.endswith("/alarms/queue_high_watermark.al%2Fice/alert")
        event = json.loads(raised.payload)
        assert event["id"] == "queue_high_watermark.al/ice" and event["severity"] == "warning"
        assert event["summary"].startswith("8 messages, ")
        assert [receiver["high"] for receiver in overview(node)["receivers"]] == [True]
        publish(node, "t", [b"x"] * 8)
        collect(node, "al/ice", 10)
        cleared = ops.publication(ops.read())
        assert cleared.topic.endswith("/alarms/queue_high_watermark.al%2Fice/clear")
        assert [receiver["high"] for receiver in overview(node)["receivers"]] == [False]
    assert node.log().count("queue above its high watermark") == 1
    assert node.log().count("queue below its low watermark again") == 1


def test_who_did_not_get_what_and_why(brokers):
    node = brokers.drawbridge(more='[queue]\nmax_messages = 2\n[metrics]\nsys_interval = "1s"\n').start()
    sleeper(node, "alice", "t", 1)
    sleeper(node, "bob", "u")
    assert drops(node) == {"total": 0, "reasons": drops(node)["reasons"], "count": 0, "receivers": []}
    publish(node, "t", [b"1", b"2", b"3", b"4", b"5"])
    with Wire(node.port, "zoe", clean=True) as zoe:
        zoe.publish("t", b"x")
        zoe.publish("u", b"x")
        zoe.publish("u", b"y")
        zoe.publish("v", b"to nobody", 1, 1)
        zoe.read()
    told = drops(node)
    assert [(r["name"], r["total"], reasons(r)) for r in told["receivers"]] == [
        ("alice", 4, {"oldest": 3, "away": 1}),
        ("bob", 2, {"away": 2}),
    ]
    assert (told["total"], told["count"], reasons(told)) == (6, 2, {"oldest": 3, "away": 3})
    assert len(drops(node, "--limit", 1)["receivers"]) == 1
    lines = run("ctl", "drops", "--data", node.data).stdout.splitlines()
    assert lines[0] == "dropped  6 (oldest 3, away 3)"
    assert lines[3].split() == ["alice", "session", "away", "4", "oldest", "3,", "away", "1"]
    with Wire(node.port, "ops", clean=True) as ops:
        ops.subscribe("$SYS/brokers/+/metrics/messages/dropped/away")
        while ops.publication(ops.read()).payload != b"3":
            pass

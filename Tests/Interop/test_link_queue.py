"""Can an operator see the queue of a link, take messages out of it, empty it, and carry it to another node on a stick,
while the node runs, and with kill -9 at any moment, without a message lost or doubled?"""

import collections
import json
import random
import subprocess
import time

import pytest

from brokers import drawbridge_binary, free_port, program
from clients import PahoFive
from eventually import eventually
from test_command import fails_in_one_line, run, said

OUT = """
[[link]]
name = "hub"
addresses = ["mqtt://127.0.0.1:{port}"]
backoff = {{ base = "50ms", cap = "200ms" }}
{more}
[[link.out]]
filter = "plant/#"
to = "site-7/{{#}}"
"""


def link_out(port, more=""):
    """A link that sends `plant/...` as `site-7/...`."""
    return OUT.format(port=port, more=more)


def tell(node, *arguments, name="hub", **options):
    return run("ctl", "link", name, *arguments, "--data", node.data, **options)


def told(node, *arguments, **options):
    """What the command says, which succeeds."""
    result = tell(node, *arguments, **options)
    assert result.returncode == 0, (said(result), node.log_tail())
    return result.stdout


def peek(node, *arguments):
    return [json.loads(line) for line in told(node, "peek", "--json", "--limit", 1_000_000, *arguments).splitlines()]


def publish(node, topic, payloads, qos=1):
    """One after the other over one connection; all are acknowledged when this returns."""
    client = subprocess.run(
        [program("mosquitto_pub"), "-p", str(node.port), "-t", topic, "-q", str(qos), "-l", "-V", "mqttv5"],
        input="".join(f"{payload}\n" for payload in payloads),
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert client.returncode == 0, client


def ledger(node):
    answer = run("ctl", "spool", "--data", node.data, "--json")
    assert answer.returncode == 0, answer
    receivers = json.loads(answer.stdout)["receivers"]
    return next(receiver["ledger"] for receiver in receivers if receiver["kind"] == "link")


def closes(books):
    return books["restored"] + books["taken"] == books["delivered"] + books["waiting"] + sum(books["dropped"].values())


@pytest.fixture
def away(brokers):
    """A node whose upstream is not there."""
    return brokers.drawbridge("away", links=link_out(free_port())).start()


# What waits


def test_peek_shows_what_waits_the_oldest_first_and_changes_nothing(away):
    publish(away, "plant/press/1", ["cold", "warm", "hot"])
    publish(away, "plant/oven", ["\u00fc" * 100], qos=2)
    shown = peek(away, "--payload", 99)
    assert [(message["topic"], message["qos"], message["in_flight"]) for message in shown] == [
        ("plant/press/1", 1, False),
        ("plant/press/1", 1, False),
        ("plant/press/1", 1, False),
        ("plant/oven", 2, False),
    ]
    assert [message["sent_as"] for message in shown] == ["site-7/press/1"] * 3 + ["site-7/oven"]
    assert [message["payload"] for message in shown] == ["cold", "warm", "hot", "\u00fc" * 49]
    assert [message["bytes"] for message in shown] == [4, 4, 3, 200]
    assert [message["position"] for message in shown] == sorted({message["position"] for message in shown})
    table = told(away, "peek").splitlines()
    assert table[0].split() == ["POSITION", "AGE", "QOS", "SIZE", "TOPIC", "SENT", "AS", "STATE", "PAYLOAD"]
    assert len(table) == 5 and "hot" in table[3] and "waits" in table[3], table
    assert len(told(away, "peek", "--limit", 2).splitlines()) == 3
    assert [message["topic"] for message in peek(away, "--filter", "+/oven")] == ["plant/oven"]
    assert "nothing of that waits" in told(away, "peek", "--filter", "sea/#")
    assert [message["id"] for message in peek(away)] == [message["id"] for message in shown]
    assert ledger(away)["waiting"] == 4
    nothing = tell(away, "peek", "--limit", 0)
    assert nothing.returncode != 0 and "--limit is 1 or more" in nothing.stderr and nothing.stdout == "", nothing
    fails_in_one_line(tell(away, "peek", name="moon"), "moon")
    fails_in_one_line(tell(away, "peek", "--filter", "a/#/b"), "a/#/b")


def test_peek_reads_a_long_queue_in_parts(away):
    publish(away, "plant/x", range(25_000))
    assert [message["payload"] for message in peek(away, "--payload", 9)] == [str(number) for number in range(25_000)]
    assert len(peek(away)) == 25_000
    assert away.link()["queued"] == 25_000


# What is not wanted


def test_drop_takes_out_what_a_filter_says_and_it_stays_gone(brokers):
    hub = brokers.mosquitto("hub")
    node = brokers.drawbridge("a", links=link_out(hub.port)).start()
    with PahoFive(node, "press") as press:
        for number in range(50):
            press.publish("plant/noise", f"noise-{number}", 1)
            press.publish("plant/news", f"news-{number}", 2)
    assert "would be dropped: 50 messages" in told(node, "drop", "--filter", "plant/noise", "--dry-run")
    fails_in_one_line(tell(node, "drop", "--filter", "plant/noise"), "--yes", "50 messages")
    assert ledger(node)["waiting"] == 100
    assert "dropped: 50 messages" in told(node, "drop", "--filter", "plant/noise", "--yes")
    # What the command said is on disk.
    books = ledger(node)
    node.kill()
    assert books["dropped"]["removed"] == 50 and books["waiting"] == 50 and closes(books)
    hub.start()
    with PahoFive(hub, "watcher") as watcher:
        watcher.subscribe("site-7/#", 2)
        node.start()
        watcher.wait_for(50)
        told(node, "drain", "--timeout", "20s")
        assert [message.payload for message in watcher.messages] == [f"news-{number}" for number in range(50)]
    assert node.link()["queued"] == 0


def test_drop_by_age_and_all_of_it(away):
    publish(away, "plant/x", ["old"])
    eventually("it is two seconds old", lambda: peek(away)[0]["age_seconds"] >= 2)
    publish(away, "plant/x", ["young"])
    assert "dropped: 1 message" in told(away, "drop", "--older-than", "2s", "--yes")
    assert [message["payload"] for message in peek(away, "--payload", 9)] == ["young"]
    result = tell(away, "drop", "--yes")
    assert result.returncode != 0 and "--all" in result.stderr
    told(away, "drop", "--all", "--yes")
    assert peek(away) == [] and "nothing waits" in told(away, "peek")
    assert "dropped: 0 messages" in told(away, "drop", "--all", "--yes")
    books = ledger(away)
    assert books["dropped"]["removed"] == 2 and closes(books)
    drops = run("ctl", "drops", "--data", away.data)
    assert "removed 2" in drops.stdout


def test_a_long_queue_is_dropped_while_the_node_serves_others(away):
    publish(away, "plant/x", range(30_000))
    begin = time.monotonic()
    told(away, "drop", "--all", "--yes")
    assert time.monotonic() - begin < 15
    assert ledger(away)["dropped"]["removed"] == 30_000
    publish(away, "plant/x", ["after"])
    assert [message["payload"] for message in peek(away, "--payload", 9)] == ["after"]


def test_what_is_in_flight_is_shown_and_left_alone(brokers):
    hub = brokers.mosquitto("hub").start()
    node = brokers.drawbridge("a", links=link_out(hub.port, 'max_inflight = 10\nprobe_every = "30s"')).start()
    node.wait_for_link()
    with PahoFive(hub, "watcher") as watcher:
        watcher.subscribe("site-7/#", 2)
        with hub.paused():
            publish(node, "plant/x", range(100), qos=2)
            flying = [message for message in peek(node, "--payload", 9) if message["in_flight"]]
            assert [message["payload"] for message in flying] == [str(number) for number in range(10)]
            report = told(node, "drop", "--all", "--yes")
            assert "dropped: 90 messages" in report and "10 messages in flight stay" in report
            publish(node, "plant/x", ["after"], qos=2)
        watcher.wait_for(11)
        told(node, "drain", "--timeout", "20s")
        assert [message.payload for message in watcher.messages] == [*map(str, range(10)), "after"]
    books = ledger(node)
    assert books["dropped"]["removed"] == 90 and books["delivered"] == 11 and closes(books)


# Until it is empty


def test_drain_waits_until_the_queue_is_empty(brokers):
    hub = brokers.mosquitto("hub")
    node = brokers.drawbridge("a", links=link_out(hub.port)).start()
    publish(node, "plant/x", range(3_000))
    drain = subprocess.Popen(
        [drawbridge_binary(), "ctl", "link", "hub", "drain", "--timeout", "60s", "--data", str(node.data)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert drain.poll() is None
    hub.start()
    output, _ = drain.communicate(timeout=60)
    assert drain.returncode == 0 and "drained" in output and "nothing waits" in output, output
    assert node.link()["queued"] == 0


def test_drain_says_why_it_cannot_be(away):
    assert "drained" in told(away, "drain")
    publish(away, "plant/x", ["1", "2"])
    late = tell(away, "drain", "--timeout", "1s")
    assert late.returncode == 2
    fails_in_one_line(late, "2 messages still wait")
    told(away, "pause")
    fails_in_one_line(tell(away, "drain"), "paused", "resume")
    told(away, "resume")
    told(away, "stop")
    fails_in_one_line(tell(away, "drain", "--timeout", "9s"), "stopped", "start")


def test_drain_without_an_upstream_gives_up_and_says_what_the_link_said(away):
    publish(away, "plant/x", ["1"])
    fails_in_one_line(tell(away, "drain"), "1 message wait", "--timeout")


# On a stick


def test_a_backlog_travels_in_a_file_and_comes_in_once(brokers, tmp_path):
    hub = brokers.mosquitto("hub").start()
    far = brokers.drawbridge("far", links=link_out(free_port())).start()
    near = brokers.drawbridge("near", links=link_out(hub.port)).start()
    stick = tmp_path / "stick"
    with PahoFive(far, "press") as press:
        for number in range(60):
            press.publish(f"plant/{number % 3}", f"m-{number}", number % 2 + 1)
    before = [(message["id"], message["topic"], message["qos"]) for message in peek(far)]
    report = told(far, "export", stick)
    assert "60 messages, complete" in report
    books = ledger(far)
    assert books["dropped"]["exported"] == 60 and books["waiting"] == 0 and closes(books)
    fails_in_one_line(tell(far, "export", stick), "exists already")

    told(near, "pause")
    assert "60 messages taken in, 60 in all" in told(near, "import", stick)
    assert [(message["id"], message["topic"], message["qos"]) for message in peek(near)] == before
    assert "taken in before" in told(near, "import", stick)
    near.kill()
    with PahoFive(hub, "watcher") as watcher:
        watcher.subscribe("site-7/#", 2)
        near.start()
        watcher.wait_for(60)
        told(near, "drain", "--timeout", "20s")
        assert "taken in before" in told(near, "import", stick)
        for qos in (1, 2):  # those of QoS 2 take another round trip
            got = [message.payload for message in watcher.messages if message.qos == qos]
            assert got == [f"m-{number}" for number in range(60) if number % 2 + 1 == qos]
        assert {message.topic for message in watcher.messages} == {f"site-7/{number}" for number in range(3)}
    fails_in_one_line(tell(far, "import", stick), "taken in at node")


def test_a_node_takes_in_what_it_exported_and_only_what_was_wanted(away, tmp_path):
    publish(away, "plant/a", ["1", "2"])
    publish(away, "plant/b", ["3"])
    told(away, "export", tmp_path / "b", "--filter", "plant/b")
    assert [message["topic"] for message in peek(away)] == ["plant/a"] * 2
    assert "1 message taken in" in told(away, "import", tmp_path / "b")
    assert [message["payload"] for message in peek(away, "--payload", 9)] == ["1", "2", "3"]


def test_a_copy_is_taken_in_only_by_who_says_so(away, tmp_path):
    publish(away, "plant/a", ["1", "2"])
    assert "a copy" in told(away, "export", tmp_path / "copy", "--keep")
    assert len(peek(away)) == 2
    fails_in_one_line(tell(away, "import", tmp_path / "copy"), "--copy")
    told(away, "import", tmp_path / "copy", "--copy")
    assert [message["payload"] for message in peek(away, "--payload", 9)] == ["1", "2", "1", "2"]


def test_files_that_are_none_or_are_damaged_are_refused_in_one_line(away, tmp_path):
    (tmp_path / "letter").write_text("Dear all,")
    fails_in_one_line(tell(away, "import", tmp_path / "letter"), "no file that")
    fails_in_one_line(tell(away, "export", tmp_path / "letter"), "no file that")
    assert (tmp_path / "letter").read_text() == "Dear all,"
    fails_in_one_line(tell(away, "import", tmp_path / "nothing"), "no such file")
    fails_in_one_line(tell(away, "export", tmp_path / "no" / "folder"), "No such file")
    publish(away, "plant/a", [f"message {number}" for number in range(10)])
    told(away, "export", tmp_path / "x")
    whole = bytearray((tmp_path / "x").read_bytes())
    (tmp_path / "cut").write_bytes(whole[:-9])
    fails_in_one_line(tell(away, "import", tmp_path / "cut"), "did not end")
    whole[whole.index(b"message 4")] ^= 1
    (tmp_path / "bad").write_bytes(whole)
    fails_in_one_line(tell(away, "import", tmp_path / "bad"), "damaged", "--skip-damaged")
    assert peek(away) == []
    assert "1 damaged message" in told(away, "import", tmp_path / "bad", "--skip-damaged")
    assert len(peek(away)) == 9


def test_a_queue_without_room_takes_no_file_in_part_of_a_part(brokers, tmp_path):
    far = brokers.drawbridge("far", links=link_out(free_port())).start()
    publish(far, "plant/x", range(100))
    told(far, "export", tmp_path / "x")
    more = "[link.spool]\nmax_messages = 50\n"
    small = brokers.drawbridge("small", links=link_out(free_port(), more)).start()
    fails_in_one_line(tell(small, "import", tmp_path / "x"), "no room")
    assert peek(small) == []


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_while_a_backlog_leaves_and_comes_in_loses_and_doubles_nothing(brokers, tmp_path, seed):
    dice = random.Random(seed)
    count = 30_000
    hub = brokers.mosquitto("hub").start()
    far = brokers.drawbridge("far", links=link_out(free_port())).start()
    near = brokers.drawbridge("near", links=link_out(free_port())).start()
    stick = tmp_path / "stick"
    publish(far, "plant/x", [f"m-{number}-" + "x" * 100 for number in range(count)])
    ids = {message["id"] for message in peek(far)}
    assert len(ids) == count

    def has_come(node, action):
        """How far it is, as a part of the whole."""
        if action == "export":
            return stick.stat().st_size / (count * 155) if stick.exists() else 0
        return (node.link() or {}).get("queued", 0) / count

    def until_done(node, action):
        """Again and again, with a kill further and further on the way."""
        for kills in range(8):
            command = [drawbridge_binary(), "ctl", "link", "hub", action, str(stick), "--data", str(node.data)]
            going = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if kills < 5:
                wanted = kills / 6
                eventually("it gets so far", lambda: going.poll() is not None or has_come(node, action) >= wanted, 60)
                time.sleep(dice.uniform(0, 0.05))  # anywhere in the steps of a part
                node.kill()
            output, _ = going.communicate(timeout=60)
            if not node.is_running:
                node.start()
            if going.returncode == 0 or "exists already" in output:
                # Or it was complete when the node died, and nobody had heard so.
                return kills
        raise AssertionError(output)

    assert until_done(far, "export") >= 2, "the kills came too late"
    left = [message["id"] for message in peek(far)]
    assert left == [], f"{len(left)} messages stayed"
    assert until_done(near, "import") >= 2, "the kills came too late"
    assert "taken in before" in told(near, "import", stick)
    got = collections.Counter(message["id"] for message in peek(near))
    assert set(got) == ids, (len(ids - set(got)), len(set(got) - ids))
    assert max(got.values()) == 1
    # In the order in which they came to the first node.
    payloads = [int(message["payload"].split("-")[1]) for message in peek(near, "--payload", 12)]
    assert payloads == list(range(count))


def test_a_link_that_sends_meanwhile_sends_nothing_that_is_in_the_file(brokers, tmp_path):
    hub = brokers.mosquitto("hub").start()
    far = brokers.drawbridge("far", links=link_out(hub.port)).start()
    far.wait_for_link()
    told(far, "pause")
    near = brokers.drawbridge("near", links=link_out(hub.port)).start()
    count = 20_000
    publish(far, "plant/x", range(count), qos=2)
    with PahoFive(hub, "watcher") as watcher:
        watcher.subscribe("site-7/#", 2)
        told(far, "resume")
        told(far, "export", tmp_path / "x")
        sent = ledger(far)["delivered"]
        told(near, "import", tmp_path / "x")
        told(far, "drain", "--timeout", "60s")
        told(near, "drain", "--timeout", "60s")
        watcher.wait_for(count, seconds=60)
        assert sorted(int(message.payload) for message in watcher.messages) == list(range(count))
    assert 0 <= sent < count
    assert closes(ledger(far)) and closes(ledger(near))


# What the upstream refused


def test_what_the_upstream_refused_is_kept_shown_and_sent_again(brokers):
    rules = '[acl]\ndefault = "deny"\nrules = [ {{ allow = "both", who = "all", topics = [{}] }} ]\n'
    narrow = rules.format('"site-7/good/#"')
    hub = brokers.drawbridge("hub", more=narrow).start()
    more = "[link.spool]\nkeep_refused = 3\n"
    node = brokers.drawbridge("a", links=link_out(hub.port, more)).start()
    node.wait_for_link()
    for number in range(5):
        publish(node, "plant/bad", [f"bad-{number}"], qos=number % 2 + 1)
    publish(node, "plant/good/x", ["good"])
    told(node, "drain", "--timeout", "20s")
    shelf = "hub/refused"
    waiting = eventually("they are put aside", lambda: (told(node, "peek", "--json", "--payload", "9", name=shelf)))
    # The oldest give way.
    assert [json.loads(line)["payload"] for line in waiting.splitlines()] == ["bad-2", "bad-3", "bad-4"]
    node.kill()
    node.start()
    assert "not configured" not in node.log_since_start()
    assert len(told(node, "peek", "--json", name=shelf).splitlines()) == 3
    # Refused once more: each is sent once, and put aside again.
    node.wait_for_link()
    assert "3 messages" in told(node, "replay")
    eventually("they are back", lambda: len(told(node, "peek", "--json", name=shelf).splitlines()) == 3)
    # The upstream has learned better.
    hub.config_file.write_text(hub.config_file.read_text().replace(narrow, rules.format('"#"')))
    hub.stop()
    hub.start()
    with PahoFive(hub, "watcher") as watcher:
        watcher.subscribe("site-7/#", 2)
        node.wait_for_link()
        assert "3 messages" in told(node, "replay", "--filter", "plant/bad")
        watcher.wait_for(3)
        assert sorted(message.payload for message in watcher.messages) == ["bad-2", "bad-3", "bad-4"]
    assert "nothing waits" in told(node, "peek", name=shelf)
    assert "0 messages" in told(node, "replay")

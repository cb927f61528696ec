"""Can an operator see, check, shrink, copy and put back a spool, running or not, and is each refusal one clear line?"""

import base64
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading

import pytest

from brokers import drawbridge_binary, free_port, link_to
from eventually import eventually
from raw_http import ask
from test_command import fails_in_one_line, run, said
from wire import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Wire, packet_id_of


def sleeper(node, client_id, filter, qos=1):
    """A durable session whose client is away."""
    with Wire(node.port, client_id) as client:
        client.subscribe(filter, qos)
        client.disconnect()


def publish(node, topic, payloads, qos=1):
    """Publishes one after the other; what this returns from is acknowledged."""
    with Wire(node.port, "publisher", clean=True) as client:
        for number, payload in enumerate(payloads, 1):
            client.publish(topic, payload, qos, number)
            answer = client.read()
            assert packet_id_of(answer) == number
            if qos == 2:
                client.answer(PUBREL, number)
                assert client.read().kind == PUBCOMP
        client.disconnect()


def collect(node, client_id, count):
    """What waits for a session, acknowledged as it comes."""
    got = []
    with Wire(node.port, client_id) as client:
        while len(got) < count:
            packet = client.read()
            if packet.kind == PUBLISH:
                message = client.publication(packet)
                got.append(message.payload)
                client.answer(PUBREC if message.qos == 2 else PUBACK, message.packet_id)
            elif packet.kind == PUBREL:
                client.answer(PUBCOMP, packet_id_of(packet))
        client.disconnect()
    return got


def overview(node, *more):
    result = run("ctl", "spool", "--data", node.data, "--json", *more)
    assert result.returncode == 0, result
    return json.loads(result.stdout)


def dump(path, *more):
    result = run("spool", "dump", path, *more)
    assert result.returncode == 0, result
    return [json.loads(line) for line in result.stdout.splitlines()]


def spool_file(node):
    return node.data / "spool.sqlite"


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def filled(brokers):
    """A node with 30 messages for a link that is down, 20 of them also for alice, and 10 for bob."""
    node = brokers.drawbridge(links=link_to(free_port(), filter="out/#")).start()
    sleeper(node, "alice", "out/a")
    sleeper(node, "bob", "b/#", 2)
    publish(node, "out/a", [b"a%d" % number for number in range(20)])
    publish(node, "out/x", [b"x" * 1000] * 10)
    publish(node, "b/1", [b"b%d" % number for number in range(10)], 2)
    return node


# ------------------------------------------------------------------------------------------------------------- ctl


def test_ctl_spool_shows_who_waits_for_how_much_the_deepest_first(filled):
    told = overview(filled)
    assert [(r["name"], r["kind"], r["depth"]) for r in told["receivers"]] == [
        ("hub", "link", 30),
        ("alice", "session", 20),
        ("bob", "session", 10),
    ]
    hub, alice, bob = told["receivers"]
    assert hub["bytes"] > 10_000 and alice["bytes"] >= 20 * len("out/aa0")
    assert not alice["connected"] and not hub["connected"] and hub["state"] in ("connecting", "backing off")
    assert all(0 <= receiver["oldest_seconds"] < 60 for receiver in told["receivers"])
    totals = told["totals"]
    assert (totals["messages"], totals["waiting"], totals["sessions"], totals["links"]) == (40, 60, 2, 1)
    assert (told["state"], told["durability"], told["starts"], told["notices"]) == ("ok", "sync", 1, [])
    assert told["file_bytes"] + told["log_bytes"] > 10_000
    assert told["since_start"]["rows_written"] == 40


def test_ctl_spool_knows_who_is_connected_and_counts_down_as_messages_are_taken(filled):
    with Wire(filled.port, "alice") as alice:
        alice.read()
        told = {receiver["name"]: receiver for receiver in overview(filled)["receivers"]}
        assert told["alice"]["connected"] and not told["bob"]["connected"]
    collect(filled, "alice", 20)
    eventually(
        lambda: f"nothing waits for alice: {overview(filled)}",
        lambda: {r["name"]: r["depth"] for r in overview(filled)["receivers"]} == {"hub": 30, "alice": 0, "bob": 10},
    )


def test_ctl_spool_prints_a_table_for_people_and_keeps_to_its_limit(filled):
    lines = run("ctl", "spool", "--data", filled.data).stdout.splitlines()
    table = lines[lines.index("") + 1 :]
    assert " ".join(table[0].split()) == "NAME KIND STATE DEPTH BYTES OLDEST DELIVERED DROPPED WHY"
    assert [line.split()[0] for line in table[1:]] == ["hub", "alice", "bob"]
    # Aligned: every depth ends where its heading ends.
    end = table[0].index("DEPTH") + len("DEPTH")
    assert [line[:end].split()[-1] for line in table[1:]] == ["30", "20", "10"]
    assert any(line.startswith("state") and line.endswith("ok") for line in lines)

    lines = run("ctl", "spool", "--data", filled.data, "--limit", 1).stdout.splitlines()
    assert "hub" in lines[-2] and "2 more" in lines[-1]
    assert len(overview(filled, "--limit", 2)["receivers"]) == 2
    assert run("ctl", "spool", "--data", filled.data, "--limit", -1).returncode != 0


def test_ctl_spool_says_what_was_dropped_and_why_and_its_books_close(brokers):
    node = brokers.drawbridge(more="[queue]\nmax_messages = 10\n").start()
    sleeper(node, "alice", "a")
    sleeper(node, "bob", "a")
    with Wire(node.port, "carol", clean=True) as carol:
        carol.subscribe("a", 0)
        publish(node, "a", [b"%d" % number for number in range(25)])
        carol.close()
    assert collect(node, "alice", 10) == [b"%d" % number for number in range(15, 25)]
    with Wire(node.port, "alice") as alice:
        publish(node, "a", [b"no, thanks"])
        alice.send(PUBACK, 0, alice.read().body[3:5] + b"\x83")
        alice.send(12)
        while alice.read().kind != 13:
            pass
    Wire(node.port, "bob", clean=True).disconnect()

    def books():
        told = overview(node)
        (alice,) = told["receivers"]
        return told["since_start"], alice["ledger"]

    eventually(lambda: f"what alice answered is counted: {books()}", lambda: books()[1]["dropped"]["rejected"] == 1)
    everyone, alice = books()
    assert {k: v for k, v in alice.items() if k != "dropped"} == {
        "restored": 0,
        "taken": 26,
        "delivered": 10,
        "waiting": 0,
    }
    assert {k: v for k, v in alice["dropped"].items() if v} == {"oldest": 15, "rejected": 1}
    assert {k: v for k, v in everyone["ledger"]["dropped"].items() if v} == {"oldest": 31, "rejected": 1, "ended": 10}
    assert everyone["messages_dropped"] == 42 and everyone["ledger"]["taken"] == 52
    lines = run("ctl", "spool", "--data", node.data).stdout.splitlines()
    assert any(
        line.endswith("0 restored + 52 taken = 10 delivered + 0 waiting + 42 dropped (oldest 31, rejected 1, session ended 10)")
        for line in lines
    ), lines
    assert lines[-1].split("  ")[-1] == "oldest 15, rejected 1", lines

    publish(node, "a", [b"one", b"two"])
    assert node.stop() == 0
    node.restart()
    everyone, alice = books()
    assert (alice["restored"], alice["taken"], alice["waiting"]) == (2, 0, 2), "counted from the start on"
    assert everyone["messages_dropped"] == 0


def test_ctl_spool_counts_publishes_for_which_there_was_no_room(brokers):
    node = brokers.drawbridge(more='[queue]\nmax_messages = 5\non_full = "reject"\n').start()
    sleeper(node, "alice", "a")
    with Wire(node.port, "five", 5, clean=True) as five, Wire(node.port, "three", 4, clean=True) as three:
        for number in range(1, 9):
            five.publish("a", b"x", 1, number)
            answer = five.read()
            assert (answer.body[2:3] == b"\x97") == (number > 5)
        assert ask(node.web_port, "POST", "/v1/publish/a?qos=1", body=b"x").status == 507
        three.publish("a", b"x", 1, 1)

        def counted():
            told = overview(node)
            return (told["since_start"], told["receivers"][0])

        eventually(lambda: f"held back: {counted()}", lambda: counted()[0]["held_back"] == 1)
        everyone, alice = counted()
        assert (everyone["refused"], alice["refused"], alice["held_back"]) == (4, 4, 1)
        assert alice["ledger"]["taken"] == 5 and everyone["messages_dropped"] == 0
        collect(node, "alice", 5)
        assert three.read().kind == PUBACK
    assert collect(node, "alice", 1) == [b"x"]
    assert "no room     4 publishes refused, 1 held back" in run("ctl", "spool", "--data", node.data).stdout


def test_ctl_finds_the_node_by_its_configuration_too(filled):
    assert run("ctl", "spool", "--config", filled.config_file).returncode == 0


def test_a_node_that_is_not_running_is_one_line(brokers, tmp_path):
    node = brokers.drawbridge().start()
    assert node.stop() == 0
    assert not (node.data / "control.sock").exists()
    result = run("ctl", "spool", "--data", node.data)
    fails_in_one_line(result, "no node is running", node.data)
    assert result.returncode == 1
    fails_in_one_line(run("ctl", "spool", "--data", tmp_path / "nowhere"), "no node is running")
    node.start().kill()
    assert (node.data / "control.sock").exists(), "kill -9 leaves the socket behind"
    fails_in_one_line(run("ctl", "spool", "--data", node.data), "no node is running")
    node.restart()
    assert overview(node)["starts"] == 3, "the stale socket was replaced"


def test_the_socket_is_for_the_owner_only_and_works_in_a_deep_directory(brokers):
    node = brokers.drawbridge()
    deep = node.folder / ("deep" * 20) / ("deeper" * 10)
    node.config_file.write_text(node.config_file.read_text().replace(str(node.data), str(deep)))
    node.data = deep
    node.start()
    assert len(str(deep / "control.sock")) > 108
    assert mode(deep / "control.sock") == 0o600 and stat.S_ISSOCK(os.lstat(deep / "control.sock").st_mode)
    assert overview(node)["state"] == "ok"
    assert node.stop() == 0
    assert sorted(path.name for path in deep.iterdir() if "sock" in path.name) == []


def test_the_socket_answers_http_and_refuses_what_it_does_not_know(brokers, monkeypatch):
    node = brokers.drawbridge().start()
    monkeypatch.chdir(node.data)

    def say(text):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect("control.sock")
            line.sendall(text.encode())
            answer = b""
            while chunk := line.recv(65536):
                answer += chunk
            return answer.decode()

    host = "HTTP/1.1\r\nHost: x\r\n"
    assert say(f"GET /admin/v1/spool {host}\r\n").startswith("HTTP/1.1 200 ")
    assert say(f"GET /admin/v1/nothing {host}\r\n").startswith("HTTP/1.1 404 ")
    assert "Allow: GET" in say(f"DELETE /admin/v1/spool {host}\r\n")
    assert say(f"GET /admin/v1/spool?limit=x {host}\r\n").startswith("HTTP/1.1 400 ")
    assert say(f"POST /admin/v1/spool/backup {host}Content-Length: 2\r\n\r\n{{}}").startswith("HTTP/1.1 400 ")
    assert say(f"POST /admin/v1/spool/backup {host}Content-Length: 99999\r\n\r\n" + "x" * 99999).startswith("HTTP/1.1 413")
    assert not say("this is not HTTP\r\n\r\n").startswith("HTTP/1.1 200")
    # The web port knows none of it.
    assert ask(node.web_port, "GET", "/admin/v1/spool").status == 404
    assert overview(node)["state"] == "ok"


# ---------------------------------------------------------------------------------------------------- check and dump


def test_dump_prints_a_line_per_message_and_payloads_only_when_asked(filled):
    with Wire(filled.port, "publisher", clean=True) as client:
        client.publish("out/a", b"\xff\x00binary", 1, 1)
        assert client.read().kind == PUBACK
    assert filled.stop() == 0
    lines = dump(filled.data)
    assert len(lines) == 41 and [line["position"] for line in lines] == sorted(line["position"] for line in lines)
    first = lines[0]
    assert (first["topic"], first["qos"], first["retained"], first["bytes"]) == ("out/a", 1, False, 2)
    assert sorted((r["name"], r["kind"], r["qos"]) for r in first["receivers"]) == [
        ("alice", "session", 1),
        ("hub", "link", 1),
    ]
    assert len(first["id"]) == 32 and first["came"].startswith("20") and "expiry" not in first
    assert not any("payload" in line or "payload_base64" in line for line in lines)

    bob = dump(spool_file(filled), "--receiver", "bob", "--payload")
    assert [line["payload"] for line in bob] == [f"b{number}" for number in range(10)]
    assert len(dump(filled.data, "--receiver", "bob", "--limit", 3)) == 3
    assert base64.b64decode(dump(filled.data, "--payload")[-1]["payload_base64"]) == b"\xff\x00binary"


def test_check_counts_and_says_ok(filled):
    assert filled.stop() == 0
    result = run("spool", "check", filled.data)
    assert result.returncode == 0, result
    counts = dict(line.rsplit(None, 1) for line in result.stdout.splitlines()[:10])
    assert (counts["messages"], counts["deliveries that wait"]) == ("40", "60")
    # Those of two clients, and the rule of the link.
    assert (counts["sessions"], counts["links"], counts["subscriptions"]) == ("2", "1", "3")
    assert said(result)[-1] == f"{spool_file(filled)}: ok"


def test_check_reads_what_a_killed_node_left(filled):
    filled.kill()
    result = run("spool", "check", spool_file(filled))
    assert result.returncode == 0 and "did not end in good order" in result.stdout, result
    assert len(dump(filled.data)) == 40
    filled.restart()
    assert overview(filled)["notices"] == [], "a command that only reads leaves no trace"
    assert len(collect(filled, "alice", 20)) == 20


def test_check_finds_one_damaged_byte_of_a_payload(filled):
    publish(filled, "out/a", [b"find-this-payload-in-the-file"])
    assert filled.stop() == 0
    content = spool_file(filled).read_bytes()
    assert content.count(b"find-this-payload-in-the-file") == 1
    spool_file(filled).write_bytes(content.replace(b"find-this-payload", b"find-thIs-payload"))
    result = run("spool", "check", filled.data)
    assert result.returncode == 1, result
    damaged = [line for line in result.stdout.splitlines() if line.startswith("damaged: ")]
    assert len(damaged) == 1 and "message at position" in damaged[0] and "checksum" in damaged[0]
    result = run("spool", "dump", filled.data)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1 and len(lines) == 41
    assert [line.get("damaged", False) for line in lines] == [False] * 40 + [True]
    assert {receiver["name"] for receiver in lines[-1]["receivers"]} == {"alice", "hub"}


def test_check_finds_damage_in_the_pages(filled):
    publish(filled, "out/a", [b"y" * 3000] * 50)
    assert filled.stop() == 0
    content = bytearray(spool_file(filled).read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = bytes(4096)
    spool_file(filled).write_bytes(content)
    result = run("spool", "check", filled.data)
    assert result.returncode == 1 and "damaged: " in result.stdout, result
    assert run("spool", "compact", filled.data).returncode == 1, "what is damaged is not rewritten"
    assert spool_file(filled).read_bytes() == content


def test_files_that_are_no_spool_are_refused_in_one_line_and_left_alone(tmp_path):
    fails_in_one_line(run("spool", "check", tmp_path), "there is no spool")
    fails_in_one_line(run("spool", "dump", tmp_path / "nowhere.sqlite"), "there is no spool")
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
    text = tmp_path / "text"
    text.write_text("a letter, not a database\n" * 100)
    fails_in_one_line(run("spool", "check", text), text)
    foreign = tmp_path / "foreign.sqlite"
    import sqlite3

    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE message (position)")
    database.close()
    before = foreign.read_bytes()
    for command in ("check", "dump", "compact"):
        fails_in_one_line(run("spool", command, foreign), "is not a spool")
    assert foreign.read_bytes() == before


def test_a_spool_in_use_is_refused_in_one_line_by_every_command_that_works_on_files(filled):
    for command in ("check", "dump", "compact"):
        for path in (filled.data, spool_file(filled)):
            result = run("spool", command, path)
            fails_in_one_line(result, "in use by process", filled.pid)
            assert result.returncode == 1
    assert overview(filled)["totals"]["messages"] == 40


def test_compact_gives_the_space_of_delivered_messages_back(brokers):
    node = brokers.drawbridge().start()
    sleeper(node, "alice", "a")
    publish(node, "a", [b"z" * 60_000] * 50)
    collect(node, "alice", 50)
    publish(node, "a", [b"kept"])
    assert node.stop() == 0
    before = spool_file(node).stat().st_size
    result = run("spool", "compact", node.data)
    assert result.returncode == 0 and "before" in result.stdout, result
    assert spool_file(node).stat().st_size < 100_000 < before
    assert run("spool", "check", node.data).returncode == 0
    node.restart()
    assert collect(node, "alice", 1) == [b"kept"]


# ------------------------------------------------------------------------------------------------------------ backup


def test_backup_of_a_running_node_is_consistent_while_messages_come_in(brokers, tmp_path):
    """What was acknowledged before the copy is in it, a whole prefix, and everything goes on meanwhile."""
    node = brokers.drawbridge().start()
    sleeper(node, "alice", "a")
    acknowledged, stop = [0], threading.Event()

    def pour():
        with Wire(node.port, "publisher", clean=True) as client:
            while not stop.is_set():
                number = acknowledged[0]
                client.publish("a", b"%d" % number, 1, number % 60_000 + 1)
                assert client.read().kind == PUBACK
                acknowledged[0] = number + 1

    pourer = threading.Thread(target=pour)
    pourer.start()
    try:
        eventually("200 messages are in", lambda: acknowledged[0] >= 200)
        counts = []
        for attempt in range(3):
            before = acknowledged[0]
            target = tmp_path / f"copy-{attempt}.sqlite"
            result = run("spool", "backup", "--data", node.data, target)
            assert result.returncode == 0 and str(target) in result.stdout, result
            counts.append((target, before, acknowledged[0]))
        after = acknowledged[0]
        eventually("publishing goes on", lambda: acknowledged[0] > after)
    finally:
        stop.set()
        pourer.join()
    for target, before, after in counts:
        assert mode(target) == 0o600
        assert run("spool", "check", target).returncode == 0
        payloads = [int(line["payload"]) for line in dump(target, "--payload")]
        assert payloads == list(range(len(payloads))) and before <= len(payloads) <= after + 1
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.startswith("copy-")]
    assert sorted(leftovers) == [f"copy-{attempt}.sqlite" for attempt in range(3)]


def test_backup_never_overwrites_and_says_what_is_wrong(filled, tmp_path):
    target = tmp_path / "copy.sqlite"
    target.write_text("precious")
    fails_in_one_line(run("spool", "backup", "--data", filled.data, target), "exists already", target)
    fails_in_one_line(run("spool", "backup", "--data", filled.data, tmp_path / "no" / "folder"), "No such file")
    assert filled.stop() == 0
    fails_in_one_line(run("spool", "backup", "--data", filled.data, target), "exists already")
    assert target.read_text() == "precious"
    fails_in_one_line(run("spool", "backup", "--data", tmp_path / "nowhere", tmp_path / "new"), "there is no spool")


def test_a_relative_target_is_relative_to_who_asks(filled, tmp_path):
    desk = tmp_path / "desk"
    desk.mkdir()
    assert run("spool", "backup", "--data", filled.data, "copy", cwd=desk).returncode == 0
    assert filled.stop() == 0
    assert run("spool", "backup", "--data", filled.data, "second", cwd=desk).returncode == 0
    assert sorted(path.name for path in desk.iterdir()) == ["copy", "second"]
    assert dump(desk / "copy") == dump(desk / "second")


def test_a_path_may_be_a_single_letter(brokers):
    node = brokers.drawbridge("a")
    node.config_file.rename(node.folder / "c")
    node.spawn([drawbridge_binary(), "run", "--config", "c", "--data", "d"])
    eventually(lambda: f"ready{node.log_tail()}", lambda: "ready" in node.log().splitlines())
    assert run("spool", "backup", "--data", "d", "b", cwd=node.folder).returncode == 0
    assert node.stop() == 0
    assert run("spool", "backup", "--data", "d", "e", cwd=node.folder).returncode == 0
    for copy in "d", "b", "e":
        result = run("spool", "check", copy, cwd=node.folder)
        assert result.returncode == 0, result


def restore(node, copy):
    """As docs/spool.md says it."""
    for name in ("spool.sqlite", "spool.sqlite-wal", "spool.sqlite-shm"):
        (node.data / name).unlink(missing_ok=True)
    shutil.copy(copy, node.data / "spool.sqlite")


def test_a_restored_backup_delivers_what_waited_then_and_says_that_it_is_old(filled, tmp_path):
    copy = tmp_path / "copy.sqlite"
    assert run("spool", "backup", "--data", filled.data, copy).returncode == 0
    assert overview(filled)["notices"] == []
    assert "a copy that" in run("spool", "check", copy).stdout
    publish(filled, "out/a", [b"after the copy"])
    highest = max(line["position"] for line in dump_of_copy(filled, tmp_path / "later"))
    # Killed, so that nothing was noted at the end: the copy itself says what it is.
    filled.kill()
    restore(filled, copy)
    filled.restart()
    notices = overview(filled)["notices"]
    assert len(notices) == 1 and "a copy that `drawbridge spool backup` made" in notices[0]
    assert "old spool" in filled.log_since_start() and "may be delivered again" in filled.log_since_start()
    assert run("ctl", "spool", "--data", filled.data).stdout.startswith("warning: this spool is a copy")
    publish(filled, "out/a", [b"new"])
    assert filled.stop() == 0
    assert min(line["position"] for line in dump(filled.data)[40:]) > highest, "a position was given twice"
    filled.restart()
    assert overview(filled)["notices"] == [], "told once, at the start that found it"
    assert collect(filled, "alice", 21) == [b"a%d" % number for number in range(20)] + [b"new"]


def dump_of_copy(node, target):
    assert run("spool", "backup", "--data", node.data, target).returncode == 0
    return dump(target)


def test_a_file_copied_by_hand_from_an_earlier_start_is_recognised(filled, tmp_path):
    assert filled.stop() == 0
    shutil.copy(spool_file(filled), tmp_path / "old")
    for _ in range(2):
        filled.restart()
        assert overview(filled)["notices"] == []
        assert filled.stop() == 0
    restore(filled, tmp_path / "old")
    filled.restart()
    (notice,) = overview(filled)["notices"]
    assert "older than the one that ran here last, by 2 starts" in notice


def test_a_file_copied_by_hand_is_recognised_by_its_batches_after_an_end_in_good_order(filled, tmp_path):
    assert filled.stop() == 0
    shutil.copytree(filled.data, tmp_path / "whole")
    filled.restart()
    assert run("spool", "backup", "--data", filled.data, tmp_path / "copy").returncode == 0
    import sqlite3

    # As if it had been copied by other means, in the same start.
    with sqlite3.connect(tmp_path / "copy") as database:
        database.execute("UPDATE node SET is_open = 1")
    database.close()
    publish(filled, "out/a", [b"after the copy"])
    assert filled.stop() == 0
    restore(filled, tmp_path / "copy")
    filled.restart()
    (notice,) = overview(filled)["notices"]
    assert "older than the one that ran here last" in notice and "batch" in notice
    # A whole directory agrees with itself: documented as what cannot be told.
    assert filled.stop() == 0
    shutil.rmtree(filled.data)
    shutil.copytree(tmp_path / "whole", filled.data)
    filled.restart()
    assert overview(filled)["notices"] == []


def test_a_lost_or_foreign_spool_is_told(filled):
    assert filled.stop() == 0
    spool_file(filled).unlink()
    filled.restart()
    notices = overview(filled)["notices"]
    assert any("is gone" in notice for notice in notices) and len(notices) <= 2, notices

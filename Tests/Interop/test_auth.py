"""Does everybody have to show who it is, by each door, and does nobody notice how many try?"""

import base64
import os
import pty
import re
import select
import socket
import subprocess

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from brokers import drawbridge_binary, free_port, link_to, program
from eventually import eventually
from login_storm import connect_packet, describe, hashed, log_in, storm, while_probed
from pages import ChatPage
from raw_http import ask
from test_command import fails_in_one_line, run
from wire import CONNACK, DISCONNECT, Gone, PUBACK, Wire, packet_id_of, text, variable_length

ACCEPTED, V3_BAD, V3_NOT_AUTHORIZED, V5_BAD, V5_NOT_AUTHORIZED = 0, 4, 5, 0x86, 0x87


def passwd(file, user, password, *more):
    result = subprocess.run(
        [drawbridge_binary(), "passwd", str(file), user, *more],
        input=password + "\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result
    return result


def node_with_users(brokers, tmp_path, users=(("ann", "secret"),), more=""):
    """Cheap hashes: what they cost is the business of other tests."""
    file = tmp_path / "users"
    file.write_text("".join(f"{user}:{hashed(password, 4)}\n" for user, password in users))
    file.chmod(0o600)
    return brokers.drawbridge("a", more=f'[auth]\n{more}\nusers.file = "{file}"\n'), file


def code_of(port, *login, version=4):
    wire, code = log_in(port, *login, version=version)
    wire.close()
    return code


def publish(node, user=None, password=None, topic="t"):
    headers = []
    if user is not None:
        headers.append("Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    return ask(node.web_port, "POST", f"/v1/publish/{topic}", b"x", headers)


def test_mqtt_websocket_and_http_let_in_the_same_people(brokers, tmp_path):
    node, _ = node_with_users(brokers, tmp_path)
    node.start()
    assert code_of(node.port, "ann", "secret") == ACCEPTED
    assert code_of(node.port, "ann", "secret", version=5) == ACCEPTED
    assert code_of(node.port, "ann", "wrong") == V3_BAD
    assert code_of(node.port, "ann", "wrong", version=5) == V5_BAD
    assert code_of(node.port, "zoe", "secret", version=5) == V5_BAD
    assert code_of(node.port) == V3_NOT_AUTHORIZED
    assert code_of(node.port, version=5) == V5_NOT_AUTHORIZED

    assert publish(node, "ann", "secret").status == 200
    refused = publish(node)
    assert refused.status == 401 and refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert publish(node, "ann", "wrong").status == 401
    assert ask(node.web_port, "GET", "/healthz").status == 200
    assert "secret" not in node.log() and "wrong" not in node.log().replace("wrong user name or password", "")


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("leaves", ["closes", "stops sending"])
def test_who_says_everything_at_once_and_leaves_is_heard(brokers, tmp_path, clean, leaves):
    """CONNECT, PUBLISH and DISCONNECT in one segment and away: while the password is being looked at, or the session
    stored, what follows CONNECT is kept."""
    node, _ = node_with_users(brokers, tmp_path)
    node.start()
    login = text("ann") + text("secret")
    watcher, code = log_in(node.port, "ann", "secret", version=5)
    assert code == ACCEPTED
    watcher.subscribe("t", 1)
    for number in range(5):
        with Wire(node.port, "", 4, connect=False) as wire:
            connect = text("MQTT") + bytes([4, 0xC0 | 2 * clean, 0, 0]) + text("hasty") + login
            publish = text("t") + b"\0\x07" + str(number).encode()
            packets = [(0x10, connect), (0x32, publish)] + ([(0xE0, b"")] if leaves == "closes" else [])
            wire.socket.sendall(b"".join(bytes([first]) + variable_length(len(body)) + body for first, body in packets))
            if leaves == "stops sending":
                wire.socket.shutdown(socket.SHUT_WR)
                assert wire.read().kind == CONNACK
                answer = wire.read()
                assert (answer.kind, packet_id_of(answer)) == (PUBACK, 7)
                with pytest.raises(Gone):
                    wire.read()
        publication = watcher.publication(watcher.read())
        assert publication.payload == str(number).encode()
        watcher.answer(PUBACK, publication.packet_id)


def test_curl_and_mosquitto_log_in_as_their_users_do(brokers, tmp_path):
    node, _ = node_with_users(brokers, tmp_path)
    node.start()
    listener = subprocess.Popen(
        ["stdbuf", "-oL", program("mosquitto_sub"), "-p", str(node.port), "-t", "room/#", "-C", "2", "-W", "30", "-d"]
        + ["-u", "ann", "-P", "secret"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in listener.stdout:
            if "SUBACK" in line:
                break
        login = ["-u", "ann", "-P", "secret"]
        subprocess.run(
            [program("mosquitto_pub"), "-p", str(node.port), "-t", "room/1", "-m", "by mqtt", "-q", "1", *login],
            check=True,
            timeout=20,
        )
        curl = [program("curl"), "-sS", "-w", "%{http_code}", "-o", "/dev/null", "-d", "by http"]
        address = f"{node.web}/v1/publish/room/1"
        for login, status in ((["-u", "ann:secret"], "200"), (["-u", "ann:wrong"], "401"), ([], "401")):
            said = subprocess.run([*curl, *login, address], capture_output=True, text=True, timeout=20)
            assert said.stdout == status, said
        rest = listener.communicate(timeout=20)[0]
        assert "by mqtt" in rest and "by http" in rest
    finally:
        listener.kill()
        listener.wait()
    wrong = subprocess.run(
        [program("mosquitto_pub"), "-p", str(node.port), "-t", "x", "-m", "x", "-u", "ann", "-P", "wrong"], timeout=20
    )
    assert wrong.returncode != 0


def test_a_websocket_is_asked_by_its_connect(brokers, tmp_path):
    node, _ = node_with_users(brokers, tmp_path)
    node.start()

    def outcome(user, password):
        answers = []
        client = paho.Client(CallbackAPIVersion.VERSION2, transport="websockets", reconnect_on_failure=False)
        client.ws_set_options(path="/mqtt")
        client.on_connect = lambda client, data, flags, reason, properties: answers.append(str(reason))
        if user:
            client.username_pw_set(user, password)
        client.connect("127.0.0.1", node.web_port)
        client.loop_start()
        eventually("CONNACK arrives", lambda: answers)
        client.disconnect()
        client.loop_stop()
        return answers[0]

    assert outcome("ann", "secret") == "Success"
    assert outcome("ann", "wrong") == "Bad user name or password"
    assert outcome(None, None) == "Not authorized"


def test_the_chat_page_asks_for_a_password_when_the_server_does(brokers, tmp_path):
    node, file = node_with_users(brokers, tmp_path)
    node.start()
    with ChatPage(node, "lobby", "ann", tmp_path) as ann:
        field, problem = ann.element("#password"), ann.element("#join-problem")
        eventually("it asks", field.is_displayed)
        assert "password" in problem.text
        field.send_keys("wrong")
        ann.element("#join").click()
        eventually("it says that they do not fit", lambda: field.is_displayed() and "fit" in problem.text)
        field.send_keys("secret")
        ann.element("#join").click()
        ann.wait_until_live()
        assert publish(node, "ann", "secret", "chat/lobby").status == 200
        ann.wait_for(["x"])
        ann.say("hello")
        eventually("it is stored", lambda: {said.text: said.state for said in ann.said()}.get("hello") == "stored")
        # Another password: the page is thrown out and asks anew.
        passwd(file, "ann", "other")
        eventually("it asks again", field.is_displayed)
        field.send_keys("other")
        ann.element("#join").click()
        ann.wait_until_live()


def test_files_of_mosquitto_passwd_are_read_as_they_are(brokers, tmp_path):
    file = tmp_path / "users"
    file.touch(mode=0o600)
    maker = program("mosquitto_passwd")
    subprocess.run([maker, "-b", file, "new", "pbkdf2"], check=True)
    subprocess.run([maker, "-H", "sha512", "-b", file, "old", "sha512"], check=True)
    assert "$7$" in file.read_text() and "$6$" in file.read_text()
    passwd(file, "own", "scrypt")
    node = brokers.drawbridge("a", more=f'[auth.users]\nfile = "{file}"\n').start()
    for user, password in (("new", "pbkdf2"), ("old", "sha512"), ("own", "scrypt")):
        assert code_of(node.port, user, password) == ACCEPTED, user
        assert code_of(node.port, user, password + "x") == V3_BAD, user
    listed = run("passwd", file, "--list")
    assert listed.returncode == 0 and listed.stdout.split() == ["new", "old", "own"]


def test_passwd_asks_twice_on_a_terminal_and_shows_nothing(tmp_path):
    file = tmp_path / "users"

    def on_terminal(*answers):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [drawbridge_binary(), "passwd", str(file), "ann"], stdin=slave, stdout=slave, stderr=slave, close_fds=True
        )
        os.close(slave)
        seen = b""

        def read():
            nonlocal seen
            while select.select([master], [], [], 0)[0]:
                try:
                    part = os.read(master, 4096)
                except OSError:
                    return
                if not part:
                    return
                seen += part

        def has(count):
            read()
            return seen.count(b": ") >= count

        for number, answer in enumerate(answers, 1):
            eventually(lambda: f"it asks for the {number}th time: {seen}", lambda: has(number))
            os.write(master, answer)
        status = process.wait(20)
        read()
        os.close(master)
        return status, seen.decode()

    status, seen = on_terminal(b"geheim\n", b"geheim\n")
    assert status == 0 and "geheim" not in seen, seen
    assert re.fullmatch(r"ann:\$scrypt\$\S+\n", file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    status, seen = on_terminal(b"one\n", b"other\n")
    assert status != 0 and "differ" in seen and file.read_text() == before
    status, seen = on_terminal(b"\x03\n")
    assert status != 0 and file.read_text() == before


def test_passwd_refuses_in_one_line(tmp_path):
    file = tmp_path / "users"
    fails_in_one_line(run("passwd", file, "ann", "--delete"), "ann")
    fails_in_one_line(run("passwd", file, "a:b"), "colon")
    fails_in_one_line(run("passwd", file, "--list"), file)
    assert not file.exists()


def test_passwd_edits_regular_files_only(tmp_path):
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to("nothing")
    for arguments in (["ann"], ["ann", "--delete"]):
        fails_in_one_line(run("passwd", pipe, *arguments), pipe, "no regular file")
        fails_in_one_line(run("passwd", folder, *arguments), folder, "no regular file")
        fails_in_one_line(run("passwd", link, *arguments), link, "a link to nothing")
    assert pipe.is_fifo() and folder.is_dir() and link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_a_changed_file_counts_without_a_restart_and_a_broken_one_does_not(brokers, tmp_path):
    node, file = node_with_users(brokers, tmp_path, [("ann", "secret"), ("zoe", "secret")])
    node.start()
    neighbour, code = log_in(node.port, "zoe", "secret", client_id="neighbour")
    assert code == ACCEPTED
    connected, code = log_in(node.port, "ann", "secret", version=5)
    assert code == ACCEPTED
    assert publish(node, "ann", "secret").status == 200

    passwd(file, "ann", "other")
    passwd(file, "bob", "new")
    eventually("the new password counts", lambda: code_of(node.port, "ann", "other") == ACCEPTED)
    assert code_of(node.port, "bob", "new") == ACCEPTED
    assert publish(node, "ann", "secret").status == 401, "the old password was remembered"
    end = connected.read()
    assert end.kind == DISCONNECT and end.body[0] == V5_NOT_AUTHORIZED, "the old password is still connected"
    neighbour.subscribe("still/here", 0)

    file.write_text(file.read_text() + "nonsense\n")
    eventually(lambda: node.log_tail(), lambda: f"{file}:4: " in node.log())
    assert code_of(node.port, "ann", "other") == ACCEPTED
    assert "nonsense" not in node.log()
    assert run("check", "--config", node.config_file).returncode != 0


def test_nobody_beyond_loopback_without_saying_so(tmp_path):
    file = tmp_path / "open.toml"
    listener = f'[[listener]]\nbind = ["0.0.0.0:{free_port()}"]\n'
    file.write_text(f'[node]\ndata_dir = "{tmp_path}/data"\n{listener}')
    for command in ("check", "run"):
        result = run(command, "--config", file)
        assert result.returncode > 0, result
        for word in ("0.0.0.0", "drawbridge passwd", "auth.anonymous = true"):
            assert word in result.stderr + result.stdout, result
    passwd(tmp_path / "users", "ann", "secret")
    file.write_text(f'[node]\ndata_dir = "{tmp_path}/data"\n[auth.users]\nfile = "users"\n{listener}')
    assert run("check", "--config", file).returncode == 0


def test_refusals_wait_longer_each_time_and_the_right_password_does_not(brokers, tmp_path):
    node, _ = node_with_users(brokers, tmp_path)
    node.start()
    wires = [log_in(node.port, "ann", "wrong")[0] for _ in range(5)]
    for wire in wires:
        wire.close()
    # The sixth wrong one would wait for two seconds; these come before its answer.
    late = Wire(node.port, "late", version=4, connect=False)
    late.socket.sendall(connect_packet("late", "ann", "wrong"))
    assert code_of(node.port, "ann", "secret") == ACCEPTED
    assert late.next_packet() is None
    assert late.read().body[1] == V3_BAD
    lines = [line for line in node.log().splitlines() if "login refused" in line]
    assert len(lines) >= 5 and 'failures="5"' in node.log()


def test_a_login_that_is_refused_throws_nobody_out(brokers, tmp_path):
    node, _ = node_with_users(brokers, tmp_path)
    node.start()
    owner, code = log_in(node.port, "ann", "secret", client_id="pump")
    assert code == ACCEPTED
    for version in (4, 5):
        thief, code = log_in(node.port, "ann", "guess", version=version, client_id="pump")
        assert code != ACCEPTED
        with pytest.raises(Gone):
            thief.read()
    owner.subscribe("still/here", 0)


def test_a_link_logs_in_at_a_hub_of_our_own(brokers, tmp_path):
    hub, _ = node_with_users(brokers, tmp_path, [("edge", "right")])
    hub.start()
    links = link_to(hub.port).replace("[[link.both]]", 'username = "edge"\npassword = "PASSWORD"\n[[link.both]]')
    good = brokers.drawbridge("good", links=links.replace("PASSWORD", "right")).start()
    bad = brokers.drawbridge("bad", links=links.replace("PASSWORD", "wrong")).start()
    good.wait_for_link()
    eventually(lambda: hub.log_tail(), lambda: "login refused" in hub.log())
    assert bad.link()["state"] != "live"


def test_a_storm_of_logins_leaves_who_is_connected_alone(brokers, tmp_path):
    """Bounded, and without a limit in milliseconds, which a busy machine would break: `login_storm.py` measures."""
    names = [f"user-{number}" for number in range(100)]
    file = tmp_path / "users"
    file.write_text("".join(f"{name}:{hashed(name)}\n" for name in ["probe", *names]))
    file.chmod(0o600)
    node = brokers.drawbridge("a", more=f'[auth.users]\nfile = "{file}"\n').start()
    logins = [login for name in names for login in ((name, name), (name, "wrong"))]
    (codes, seconds), latencies = while_probed(node.port, "probe", "probe", lambda: storm(node.port, logins))
    # Accepted, refused, or busy: everybody is answered, and nobody comes in with a wrong password.
    assert codes["no answer"] == 0 and codes[None] == 0, codes
    assert 0 < codes[ACCEPTED] <= len(names), codes
    assert codes[ACCEPTED] + codes[V3_BAD] + codes[3] == len(logins), codes
    assert len(latencies) > 50, describe(latencies)
    lines = [line for line in node.log().splitlines() if "login refused" in line]
    assert len(lines) < 60, f"{len(lines)} lines of log for {len(logins)} logins"
    assert node.health()["status"] == "ok"

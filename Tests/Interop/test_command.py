"""Does the command say what it does, in one clear line when it cannot, and leave in good order?"""

import os
import re
import signal
import subprocess

import pytest

from brokers import Drawbridge, accepts, drawbridge_binary, free_port
from eventually import eventually
from raw_http import Line
from wire import DISCONNECT, Gone, Wire


def run(*arguments, cwd=None, seconds=30):
    return subprocess.run(
        [drawbridge_binary(), *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=seconds
    )


def said(result):
    """All lines of output that are not empty."""
    return [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]


def fails_in_one_line(result, *words):
    lines = said(result)
    assert result.returncode not in (0, None) and result.returncode > 0, result
    assert len(lines) == 1, f"one line expected, got {lines}"
    for word in words:
        assert str(word) in lines[0], f"{word!r} is not in {lines[0]!r}"


def test_version_is_one_line_with_a_number():
    result = run("version")
    assert result.returncode == 0 and result.stderr == ""
    assert len(said(result)) == 1 and re.search(r"\d+\.\d+", result.stdout), result


def test_help_names_the_commands():
    result = run("--help")
    assert result.returncode == 0
    for command in ("run", "check", "version"):
        assert re.search(rf"^\s+{command}\b", result.stdout, re.MULTILINE), result.stdout


def test_a_folder_may_be_called_by_a_single_letter(tmp_path):
    result = run("cert", "init", "t", cwd=tmp_path)
    assert result.returncode == 0 and (tmp_path / "t" / "ca.crt").exists(), result


def test_an_unknown_command_or_option_is_refused():
    assert run("fly").returncode != 0
    assert run("run", "--confg", "x").returncode != 0


def test_help_about_no_command_is_refused():
    fails_in_one_line(run("help", "nope"), "nope")
    fails_in_one_line(run("help", "ctl", "nope"), "ctl nope")
    for path in ([], ["pub"], ["ctl", "links"], ["bench", "idle"]):
        result = run("help", *path)
        assert result.returncode == 0 and "USAGE" in result.stdout, result


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    fails_in_one_line(run("cert", "init", file), file, "is no folder")
    fails_in_one_line(run("cert", "init", file / "below"), file, "is no folder")
    assert file.read_text() == "mine"


def test_a_node_says_how_durable_it_is(brokers):
    node = brokers.drawbridge("a").start()
    told = {}
    with Wire(node.port, "reader", clean=True) as reader:
        reader.subscribe("$SYS/broker/durability/#")
        for _ in range(2):
            publication = reader.publication(reader.read())
            told[publication.topic.rpartition("/")[2]] = bytes(publication.payload).decode()
    assert told["mode"] == "sync"
    assert "a power cut loses nothing" in told["advice"]


# ----------------------------------------------------------------------------------------------------------- check


def test_check_is_content_with_a_sound_file(tmp_path):
    node = Drawbridge(tmp_path)
    result = run("check", "--config", node.config_file)
    assert result.returncode == 0, result


def test_check_shows_all_problems_at_once_each_with_its_place_and_the_nearest_key(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text(
        """[node]
id = "a"
data_dri = "/tmp/x"

[limits]
inflight = "many"
max_paket = "1MiB"

[[listener]]
name = "mqtt"
type = "mqtt"
bind = ["127.0.0.1:99999"]

[[link]]
name = "hub"
protocol = 5
adresses = ["mqtt://127.0.0.1:1884"]
"""
    )
    result = run("check", "--config", file)
    assert result.returncode > 0
    output = result.stdout + result.stderr
    places = [("data_dri", 3, "data_dir"), ("inflight", 6, ""), ("max_paket", 7, "max_packet")]
    places += [("bind", 12, ""), ("adresses", 17, "addresses")]
    for key, line, nearest in places:
        matching = [text for text in output.splitlines() if f"broken.toml:{line}" in text and key in text]
        assert matching, f"no problem at line {line} with {key}:\n{output}"
        assert any(nearest in text.replace(key, "", 1) for text in matching), f"{nearest} is not suggested:\n{output}"


def test_check_points_to_the_place_of_a_syntax_error(tmp_path):
    file = tmp_path / "syntax.toml"
    file.write_text('[node]\nid = "a"\ndata_dir = \n')
    result = run("check", "--config", file)
    assert result.returncode > 0
    assert "syntax.toml:3" in result.stdout + result.stderr, result


def test_run_refuses_what_check_refuses_and_leaves_nothing_behind(tmp_path):
    file = tmp_path / "broken.toml"
    port = free_port()
    file.write_text(
        f'[node]\ndata_dir = "{tmp_path}/data"\ncolour = "red"\n'
        f'[[listener]]\nname = "mqtt"\ntype = "mqtt"\nbind = ["127.0.0.1:{port}"]\n'
    )
    result = run("run", "--config", file)
    assert result.returncode > 0 and "broken.toml:3" in result.stdout + result.stderr, result
    assert not (tmp_path / "data").exists() and not accepts(port)


def test_a_missing_file_is_one_clear_line(tmp_path):
    fails_in_one_line(run("run", "--config", tmp_path / "absent.toml"), "absent.toml")
    fails_in_one_line(run("check", "--config", tmp_path / "absent.toml"), "absent.toml")


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_beyond_loopback_only_when_anonymous_is_said_aloud(tmp_path, address):
    file = tmp_path / "open.toml"
    listener = f'[[listener]]\nname = "mqtt"\ntype = "mqtt"\nbind = ["{address}:{free_port()}"]\n'
    node = f'[node]\ndata_dir = "{tmp_path}/data"\n'
    file.write_text(node + listener)
    result = run("check", "--config", file)
    assert result.returncode > 0 and "anonymous" in result.stdout + result.stderr, result
    file.write_text(node + "[auth]\nanonymous = true\n" + listener)
    assert run("check", "--config", file).returncode == 0


# -------------------------------------------------------------------------------------------- what stands in the way


@pytest.mark.parametrize("which", ["port", "web_port"])
def test_a_port_in_use_is_one_clear_line_and_nothing_half_started(brokers, which):
    first = brokers.drawbridge("first").start()
    second = brokers.drawbridge("second")
    taken = getattr(first, which)
    free = second.web_port if which == "port" else second.port
    text = second.config_file.read_text().replace(f":{getattr(second, which)}", f":{taken}")
    second.config_file.write_text(text)
    fails_in_one_line(run("run", "--config", second.config_file), taken)
    assert not accepts(free) and first.is_running
    # The failure is no obstacle to a later start.
    first.stop()
    second.config_file.write_text(text.replace(f":{taken}", f":{getattr(second, which)}"))
    second.start()


def test_a_second_process_on_the_same_spool_is_refused(brokers):
    first = brokers.drawbridge("first").start()
    second = brokers.drawbridge("second")
    second.config_file.write_text(second.config_file.read_text().replace(str(second.data), str(first.data)))
    fails_in_one_line(run("run", "--config", second.config_file), first.data)
    assert not accepts(second.port) and not accepts(second.web_port)
    with Wire(first.port, "still-served", clean=True) as wire:
        wire.subscribe("a", 1)
    first.kill()
    second.start()  # and a kill -9 leaves no lock behind


def test_an_unwritable_directory_is_one_clear_line(tmp_path):
    node = Drawbridge(tmp_path)
    if os.geteuid() == 0:  # root may write anywhere, but not into a file as if it were a folder
        node.data.parent.mkdir(exist_ok=True)
        node.data.write_text("a file stands here")
    else:
        node.data.mkdir(mode=0o500)
    fails_in_one_line(run("run", "--config", node.config_file), node.data)
    assert not accepts(node.port)


def test_the_spool_can_be_read_by_its_owner_only(drawbridge):
    for path in [drawbridge.data, *drawbridge.data.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, f"{path} has mode {path.stat().st_mode:o}"


def test_data_on_the_command_line_wins_over_the_file(brokers, tmp_path):
    node = brokers.drawbridge("a")
    elsewhere = tmp_path / "elsewhere"
    node.spawn([drawbridge_binary(), "run", "--config", str(node.config_file), "--data", str(elsewhere)])
    eventually(lambda: f"ready{node.log_tail()}", lambda: "ready" in node.log().splitlines())
    assert list(elsewhere.iterdir()) and not node.data.exists()


def test_start_up_prints_the_addresses_and_ready_last(drawbridge):
    lines = drawbridge.log().splitlines()
    before = "\n".join(lines[: lines.index("ready")])
    assert str(drawbridge.port) in before and f"http://127.0.0.1:{drawbridge.web_port}" in before


# ------------------------------------------------------------------------------------------------------ taking leave


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_clients_of_version_5_are_told_that_the_server_shuts_down(drawbridge, signal_name):
    five, four = Wire(drawbridge.port, "five", version=5), Wire(drawbridge.port, "four", version=4)
    drawbridge.process.send_signal(getattr(signal, signal_name))
    packet = five.read()
    assert packet.kind == DISCONNECT and packet.body[0] == 0x8B, packet
    for wire in (five, four):
        with pytest.raises(Gone):
            wire.read()
    assert drawbridge.process.wait(20) == 0


def test_what_was_acknowledged_is_there_after_an_orderly_stop(drawbridge):
    with Wire(drawbridge.port, "reader") as reader:
        reader.subscribe("a", 1)
    with Wire(drawbridge.port, "writer", clean=True) as writer:
        for packet_id in range(1, 101):
            writer.publish("a", str(packet_id).encode(), 1, packet_id)
        for _ in range(100):
            writer.read()
        assert drawbridge.stop() == 0
    drawbridge.restart()
    with Wire(drawbridge.port, "reader") as reader:
        assert reader.session_present
        first = reader.publication(reader.read())
        assert first.payload == b"1"


def test_a_stop_does_not_wait_for_idle_or_silent_connections(drawbridge):
    silent, idle = Wire(drawbridge.port, "", connect=False), Line(drawbridge.web_port)
    idle.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # a request that never ends
    assert drawbridge.stop(seconds=15) == 0
    silent.close()

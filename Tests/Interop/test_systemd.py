"""Is the unit in docs/systemd sound, hard, and still wide enough for the program? Asked of systemd-analyze, offline."""

import configparser
import os
import pathlib
import re
import signal
import subprocess

import pytest

from brokers import Drawbridge, drawbridge_binary, program
from eventually import eventually
from raw_http import ask

UNIT = pathlib.Path(__file__).resolve().parents[2] / "docs/systemd/drawbridge.service"
PROGRAM, CONFIG, DATA = "/usr/local/bin/drawbridge", "/etc/drawbridge/drawbridge.toml", "/var/lib/drawbridge"


def analyze(*arguments):
    command = [program("systemd-analyze"), "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C"})


def settings():
    """The section [Service]; of keys that stand more than once the last, save in `filters`."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(UNIT)
    return parser["Service"]


def filters():
    return re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def installed(tmp_path):
    """The unit as it would be on a machine that has the program."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(PROGRAM, drawbridge_binary()))
    return copy


def test_systemd_reads_every_line(installed):
    result = analyze("verify", installed)
    # An unknown key is no failure for systemd, only a line.
    lines = [line for line in (result.stdout + result.stderr).splitlines() if installed.name in line]
    assert result.returncode == 0 and lines == [], result


def test_a_mistake_in_the_unit_would_be_seen(installed):
    installed.write_text(installed.read_text().replace("NoNewPrivileges=", "NoNewPriviliges="))
    result = analyze("verify", installed)
    assert "NoNewPriviliges" in result.stdout + result.stderr


def test_what_the_service_could_still_do_is_little(installed):
    result = analyze("security", "--offline=yes", "--threshold=20", installed)
    assert result.returncode == 0, result.stdout[-2000:]


def test_the_folders_of_the_unit_are_those_of_its_command():
    service = settings()
    assert service["ExecStart"].split() == [PROGRAM, "run", "--config", CONFIG, "--data", DATA]
    assert f"/var/lib/{service['StateDirectory']}" == DATA == service["WorkingDirectory"]
    assert service["User"] not in ("", "root")


class Service(Drawbridge):
    """The node that the unit runs, with folders of its own, and perhaps under strace."""

    before = ()

    @property
    def command(self):
        places = {PROGRAM: drawbridge_binary(), CONFIG: str(self.config_file), DATA: str(self.data)}
        return [*self.before, *(places.get(word, word) for word in settings()["ExecStart"].split())]


def sets_of_calls():
    """What systemd means by @system-service and so on: name to system calls."""
    raw, name = {}, None
    for line in analyze("syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            raw[name] = []
        elif line.startswith("    ") and name and not line.strip().startswith("#"):
            raw[name].append(line.strip())
        else:
            name = name if line.startswith("    ") else None

    def flat(name):
        return {call for member in raw[name] for call in (flat(member) if member.startswith("@") else {member})}

    return {name: flat(name) for name in raw}


def test_the_program_makes_no_call_that_the_unit_refuses(brokers, tmp_path):
    sets, allowed = sets_of_calls(), set()
    for line in filters():
        for name in line.lstrip("~").split():
            allowed = allowed - sets[name] if line.startswith("~") else allowed | sets[name]
    assert {"read", "fdatasync", "accept4"} <= allowed and not {"mount", "setuid", "ptrace"} & allowed

    node = brokers.keep(Service(tmp_path, "service"))
    node.data.parent.mkdir(exist_ok=True)
    users = tmp_path / "users"
    passwd = [drawbridge_binary(), "passwd", str(users), "ann"]
    subprocess.run(passwd, input="secret", text=True, check=True, capture_output=True)
    node.config_file.write_text(
        node.config_file.read_text() + f'\n[[link]]\nname = "hub"\naddresses = ["mqtt://localhost:1"]\n'
        f'[[link.both]]\nfilter = "chat/#"\n[auth.users]\nfile = "{users}"\n'
    )
    counts = tmp_path / "calls"
    # -D: the program is our child, and strace its own.
    node.before = (program("strace"), "-D", "-f", "-c", "-o", str(counts))
    node.start(seconds=60)
    ann = ["Authorization: Basic YW5uOnNlY3JldA=="]
    assert ask(node.web_port, "POST", "/v1/publish/chat/a?qos=1", b"x", headers=ann).status == 200
    send = [program("mosquitto_pub"), "-p", str(node.port), "-u", "ann", "-P", "secret", "-t", "a", "-q", "2", "-m", "x"]
    subprocess.run(send, check=True, timeout=30)
    assert node.stop() == 0
    made = eventually(
        "strace counts",
        lambda: counts.exists() and "total" in counts.read_text() and re.findall(r"(\w+)$", counts.read_text(), re.MULTILINE),
    )
    made = set(made) - {"syscall", "total"}
    assert "fdatasync" in made or "fsync" in made, made
    # SQLite gives its files to the owner of the database when it runs as root, which the service does not.
    as_root = {"fchown", "chown"} if os.geteuid() == 0 else set()
    assert made - allowed - as_root == set()


def test_what_a_reload_sends_does_not_end_the_program(brokers, tmp_path):
    assert settings()["ExecReload"].split() == ["/bin/kill", "-HUP", "$MAINPID"]
    node = brokers.keep(Service(tmp_path, "service")).start()
    node.process.send_signal(signal.SIGHUP)
    eventually("the configuration is read again", lambda: "configuration read again" in node.log())
    assert ask(node.web_port, "GET", "/healthz").status == 200
    assert node.stop() == 0

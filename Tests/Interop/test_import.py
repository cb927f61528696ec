"""Does a mosquitto.conf become a configuration that says the same, with a word about each line, and does a node run on it?

The corpus in mosquitto/ has the shapes that people have: what packages install, home automation, sites that report to a
hub or a cloud, certificates, web sockets, prefixes, plugins, pre-shared keys, and what has grown since 1.4.
"""

import contextlib
import pathlib
import re
import shutil
import subprocess

import pytest

from brokers import BrokerProcess, drawbridge_binary, free_port, program
from clients import Message, PahoClient
from eventually import eventually

CORPUS = pathlib.Path(__file__).parent / "mosquitto"

# What the imported file does not do, by the words of its lines; and what is said about risks, by a part of it.
UNSUPPORTED = {
    "cloud": [],
    "debian_default": [],
    "home": [],
    "hub": ["allow_zero_length_clientid", "auto_id_prefix", "ciphers", "queue_qos0_messages"],
    "keys_of_old": ["bridge_identity", "bridge_psk", "connection", "listener", "psk_file", "psk_hint"]
    + ["address", "topic", "use_identity_as_username"],
    "mesh": [],
    "nothing_but_a_log": [],
    "old": ["clientid_prefixes", "upgrade_outgoing_qos"],
    "plant": ["crlfile", "http_dir", "per_listener_settings"],
    "plugins": ["bridge_cafile", "mount_point", "no_such_word", "plugin", "plugin_opt_config_file"],
    "prefixes": ["topic", "topic"],
    "shop": [],
    "web": [],
}
WARNINGS = {
    "cloud": ["what the upstream has for us while the link is down is lost"],
    "debian_default": ["everybody who reaches a port may come in", "what is stored is not moved"],
    "home": ["there are no access rules"],
    "hub": ['"carol" cannot log in', "a filter that no rule covers is refused", "$share"],
    "keys_of_old": ["this listener is left out", 'the bridge "old-hub" is left out'],
    "mesh": ["everything, both ways, without prefixes"],
    "nothing_but_a_log": ["end after seven days"],
    "old": ["clients with any id may connect"],
    "plant": ["certificates that were revoked are let in", "mosquitto lets in web pages from anywhere"],
    "plugins": ["nobody is let in until there are users", "see all topics, not only those under the mount point"],
    "prefixes": ["messages and passwords travel in the clear"],
    "shop": ["in the clear"],
    "web": ["mosquitto lets in web pages from anywhere"],
}


class Imported(BrokerProcess):
    """A node on an imported file; its ports are free ones of loopback, and everything else is as it was imported."""

    def __init__(self, folder, name):
        super().__init__(folder, f"{name}-node")
        self.source = self.folder / "etc"
        shutil.copytree(CORPUS / name, self.source)
        certificates = self.folder / "tls"
        subprocess.run([drawbridge_binary(), "cert", "init", certificates], check=True, capture_output=True, timeout=30)
        shutil.copytree(certificates, self.source / "certs")
        for file in self.source.rglob("*.conf"):
            file.write_text(file.read_text().replace("/etc/mosquitto", str(self.source)))
        self.output = self.folder / "new"
        self.config_file = self.output / "drawbridge.toml"

    def run_import(self, *arguments):
        return subprocess.run(
            [drawbridge_binary(), "import", "mosquitto", self.source / "mosquitto.conf", "-v", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )

    def start(self):
        text, self.ports = self.config_file.read_text(), []

        def on_loopback(match):
            port = free_port()
            self.ports.append(port)
            return f'bind = ["127.0.0.1:{port}"]'

        self.config_file.write_text(re.sub(r"(?m)^bind = .*$", on_loopback, text))
        self.port = self.ports[0]
        data = str(self.folder / "data")
        self.spawn([drawbridge_binary(), "run", "--config", str(self.config_file), "--data", data])

        def is_ready():
            assert self.is_running, f"{self.name} ended with {self.process.returncode}{self.log_tail()}"
            return "ready" in self.log_since_start().splitlines()

        eventually(lambda: f"{self.name} says ready{self.log_tail()}", is_ready, 30)
        return self


@pytest.fixture
def imported(request, brokers, tmp_path):
    node = brokers.keep(Imported(tmp_path, request.param))
    node.result = node.run_import("-o", str(node.output))
    assert node.result.returncode == 0, node.result
    return node


def the(name):
    return pytest.mark.parametrize("imported", [name], indirect=True)


def test_the_corpus_is_what_these_tables_speak_of():
    names = sorted(path.name for path in CORPUS.iterdir())
    assert len(names) >= 10 and names == sorted(UNSUPPORTED) == sorted(WARNINGS)


@pytest.mark.parametrize("imported", sorted(UNSUPPORTED), indirect=True)
def test_every_line_has_a_fate_and_the_result_is_sound_and_runs(imported):
    lines = imported.result.stderr.splitlines()
    remarks = [re.match(r"(\S+:\d+): (\S+): (mapped|not needed|unsupported)", line) for line in lines]
    fates = {match[1]: (match[2], match[3]) for match in remarks if match}
    said = {
        f"{file.name}:{number}": line.split()[0]
        for file in imported.source.rglob("*.conf")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.strip() and not line.startswith("#")
    }
    assert {place: key for place, (key, _) in fates.items()} == said, "one remark for each line, and none besides"
    name = imported.name.removesuffix("-node")
    unsupported = sorted(key for key, fate in fates.values() if fate == "unsupported")
    assert unsupported == sorted(UNSUPPORTED[name]), imported.result.stderr
    for text in WARNINGS[name]:
        assert any(line.startswith("warning: ") and text in line for line in lines), (text, imported.result.stderr)

    check = subprocess.run(
        [drawbridge_binary(), "check", "--config", imported.config_file], capture_output=True, text=True, timeout=30
    )
    assert check.returncode == 0, (check, imported.config_file.read_text())
    for secret in [*imported.output.glob("*.password"), *imported.output.glob("users")]:
        assert secret.stat().st_mode & 0o077 == 0
    imported.start()
    assert imported.stop() == 0


@the("home")
def test_users_keep_their_passwords(imported):
    imported.start()
    imported.login = ("ann", "correct-horse")
    with PahoClient(imported, "a") as client:
        client.subscribe("house/#", 1)
        client.publish("house/lamp", "on", 1)
        assert client.wait_for(1) == [Message("house/lamp", "on", 1, False)]
    imported.login = ("ann", "wrong")
    with pytest.raises(AssertionError, match="CONNECT refused"):
        PahoClient(imported, "b")
    imported.login = None
    with pytest.raises(AssertionError, match="CONNECT refused"):
        PahoClient(imported, "c")


@the("hub")
def test_hashes_of_both_kinds_and_strangers_come_in_as_before(imported):
    imported.start()
    for login in [("machine-1", "battery-staple"), ("dave", "old-staple"), None]:
        imported.login = login
        PahoClient(imported, "a").close()
    imported.login = ("carol", "forgotten")  # her password was never hashed
    with pytest.raises(AssertionError, match="CONNECT refused"):
        PahoClient(imported, "b")


@pytest.mark.parametrize(
    "user, action, topic, is_allowed",
    [
        (None, "subscribe", "weather/#", True),
        (None, "publish", "weather/today", False),
        (None, "subscribe", "site/#", False),
        ("ann", "subscribe", "site/1/readings/#", True),
        ("ann", "publish", "site/1/secret/key", False),
        ("ann", "subscribe", "$SYS/#", True),
        ("ann", "subscribe", "weather/#", False),
        ("machine-1", "publish", "site/1/readings/level", True),
        ("machine-1", "subscribe", "site/1/readings/#", False),
        ("machine-1", "publish", "site/machine-1/own/x", True),
        ("machine-1", "publish", "site/ann/own/x", False),
        ("dave", "subscribe", "weather/#", False),
    ],
)
@the("hub")
def test_access_rules_decide_as_mosquitto_does(imported, user, action, topic, is_allowed):
    # The table was compared with mosquitto 2.0.11 by the next test; here each case says which rule decides.
    who = ["-u", user] if user else []
    command = [drawbridge_binary(), "acl", "explain", "--config", imported.config_file, "-i", "c", *who, action, topic]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == (0 if is_allowed else 1), result


@the("hub")
def test_mosquitto_itself_lets_through_what_the_imported_rules_let_through(imported, brokers, tmp_path):
    """The same clients publish the same messages to mosquitto with the old files and to a node with the new one, and the
    same ones arrive."""
    (tmp_path / "acl").write_text((imported.source / "acl").read_text())
    passwords = (imported.source / "passwd").read_text().splitlines()
    (tmp_path / "passwd").write_text("\n".join(line for line in passwords if not line.startswith("carol")) + "\n")
    for name in ("acl", "passwd"):
        (tmp_path / name).chmod(0o644)
    old = brokers.mosquitto("old", more=f"password_file {tmp_path}/passwd\nacl_file {tmp_path}/acl").start()
    imported.start()
    logins = [None, ("ann", "correct-horse"), ("machine-1", "battery-staple"), ("dave", "old-staple")]
    topics = ["weather/x", "site/1/readings/x", "site/1/secret/x", "site/ann/own/x", "site/machine-1/own/x", "other/x"]

    def heard(broker):
        readers = {}
        for index, reader in enumerate(logins):
            broker.login = reader
            here = readers[reader] = PahoClient(broker, f"reader-{index}")
            for topic in topics:  # filters that are refused in SUBACK here hear nothing there
                _, mid = here.client.subscribe(topic, 1)
                eventually("SUBACK arrives", lambda: mid in here.subscribed)
        for at, (writer, topic) in enumerate((writer, topic) for writer in logins for topic in topics):
            broker.login = writer
            # mosquitto 2.0.11 ends the connection of who publishes what it may not.
            with PahoClient(broker, f"writer-{at}") as there, contextlib.suppress(RuntimeError):
                there.publish(topic, f"{writer} {topic}", 1)
        found = set()
        for reader, here in readers.items():
            here.unsubscribe("other/x")  # what was on its way to it is here when that is answered
            found |= {(reader, m.topic, m.payload) for m in here.messages}
            here.close()
        return found

    there, here = heard(old), heard(imported)
    assert here == there and len(here) > 3


@the("shop")
def test_a_bridge_of_the_old_broker_is_a_link_of_the_new_one(imported, brokers):
    office = brokers.mosquitto("office")
    passwords = imported.folder / "office-passwords"
    passwords.touch()
    subprocess.run([program("mosquitto_passwd"), "-b", passwords, "shop-17", "Kassenbon!2019"], check=True)
    passwords.chmod(0o644)
    office.config_file.write_text(
        office.config_file.read_text().replace("allow_anonymous true", f"password_file {passwords}")
    )
    office.start()
    text = imported.config_file.read_text()
    assert "Kassenbon" not in text + imported.result.stdout + imported.result.stderr
    text = text.replace("mqtt://mqtt.head-office.example:1883", f"mqtt://127.0.0.1:{office.port}")
    imported.config_file.write_text(text)
    imported.start()
    office.login = ("shop-17", "Kassenbon!2019")
    with PahoClient(office, "clerk") as there, PahoClient(imported, "till") as here:
        there.subscribe("shops/#", 1)
        for filter in ("sales/#", "prices/#", "chat/#"):
            here.subscribe(filter, 1)
        eventually(lambda: f"the link stands{imported.log_tail()}", lambda: "link connected" in imported.log())
        here.publish("sales/1", "12.50", 1)
        assert there.wait_for(1) == [Message("shops/17/sales/1", "12.50", 1, False)]
        there.publish("shops/prices/apples", "1.99", 1)
        assert here.wait_for(2)[1] == Message("prices/apples", "1.99", 1, False)
        here.publish("chat/1", "hello", 1)
        there.wait_for(3)
        there.publish("shops/17/chat/2", "hello back", 1)
        assert [m.topic for m in here.wait_for(4)[2:]] == ["chat/1", "chat/2"]
        with PahoClient(office, "watcher") as watcher:  # the state of the bridge is where it was
            watcher.subscribe("status/#", 1)
            assert watcher.wait_for(1) == [Message("status/shop-17", "1", 0, True)]


def test_without_a_folder_the_configuration_is_printed_and_nothing_is_written(tmp_path):
    source = tmp_path / "mosquitto.conf"
    source.write_text("listener 1883\nallow_anonymous true\n")
    command = [drawbridge_binary(), "import", "mosquitto", source]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert result.returncode == 0 and "[[listener]]    # mosquitto.conf:1" in result.stdout, result
    assert "2 lines: 2 mapped, 0 not needed, 0 unsupported" in result.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_files_that_are_there_are_not_overwritten_unasked(tmp_path):
    source, folder = tmp_path / "mosquitto.conf", tmp_path / "new"
    source.write_text("listener 1883\nallow_anonymous true\n")
    command = [drawbridge_binary(), "import", "mosquitto", source, "-o", folder]
    assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    (folder / "drawbridge.toml").write_text("mine")
    again = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert (folder / "drawbridge.toml").read_text() == "mine"
    assert subprocess.run([*command, "--force"], capture_output=True, timeout=30).returncode == 0
    assert (folder / "drawbridge.toml").read_text() != "mine"


def test_what_is_no_regular_file_is_not_overwritten_even_when_asked(tmp_path):
    source, folder = tmp_path / "mosquitto.conf", tmp_path / "new"
    source.write_text("listener 1883\nallow_anonymous true\n")
    command = [drawbridge_binary(), "import", "mosquitto", source, "--force", "-o"]

    def refused(where):
        result = subprocess.run([*command, where], capture_output=True, text=True, timeout=30)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result
        return result.stderr

    target = folder / "drawbridge.toml"
    target.mkdir(parents=True)
    (target / "kept").write_text("mine")
    assert "drawbridge.toml is there and is no regular file" in refused(folder)
    assert (target / "kept").read_text() == "mine"
    (target / "kept").rename(tmp_path / "kept")
    target.rmdir()
    target.symlink_to(tmp_path / "kept")
    assert "no regular file" in refused(folder)
    assert target.is_symlink() and (tmp_path / "kept").read_text() == "mine"
    target.unlink()
    target.symlink_to(tmp_path / "nothing")
    assert "no regular file" in refused(folder)
    assert f"{source} is there and is no folder" in refused(source)
    assert f"{source} is there and is no folder" in refused(source / "below")


def test_when_nothing_can_be_imported_nothing_is_written(tmp_path):
    source, folder = tmp_path / "mosquitto.conf", tmp_path / "new"
    source.write_text("Dear Sir or Madam,\nplease find enclosed\n")
    command = [drawbridge_binary(), "import", "mosquitto", source]
    for arguments in ([], ["-o", folder]):
        result = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30)
        assert result.returncode == 1 and result.stdout == "", result
        assert "2 lines: 0 mapped, 0 not needed, 2 unsupported" in result.stderr
        assert "no line of it could be imported" in result.stderr.splitlines()[-1]
    assert not folder.exists()
    source.write_text("# as it was installed\n")
    assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path):
    command = [drawbridge_binary(), "import", "mosquitto", tmp_path / "none.conf"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and "none.conf" in result.stderr, result

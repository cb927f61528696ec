"""Would docker/ build and run? All of it that can be seen without an engine: the steps of the Dockerfile, the compose
file, and its three configurations as three processes."""

import ipaddress
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from brokers import Drawbridge, drawbridge_binary, program
from clients import Message, PahoFive
from dockerfile import Dockerfile, Ignored, files_of
from eventually import eventually
from raw_http import ask

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker"
DOCKERFILE = Dockerfile(FOLDER / "Dockerfile")
IGNORED = Ignored(ROOT / ".dockerignore")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DATA = "/var/lib/drawbridge"
CONFIG = "/etc/drawbridge/drawbridge.toml"
PASSWORDS = {"SITE_1_PASSWORD": "one of §1", "SITE_2_PASSWORD": "two $2", "OPERATOR_PASSWORD": "three"}


def interpolated(value):
    """What compose makes of a value: variables of the environment, and $$ for a plain $."""

    def replace(match):
        return "$" if match[0] == "$$" else PASSWORDS[match[1]]

    return re.sub(r"\$\$|\$\{(\w+)(?::\?[^}]*)?\}", replace, value)


def check(config, **environment):
    return subprocess.run(
        [drawbridge_binary(), "check", "--config", str(config)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
        timeout=30,
    )


# --------------------------------------------------------------------------------------------------- the Dockerfile


def test_the_builder_has_the_swift_that_the_manifest_asks_for_and_the_debian_that_the_program_runs_on():
    (builder, name), (runtime, _) = DOCKERFILE.stages
    wanted = re.match(r"// swift-tools-version:\s*([\d.]+)", (ROOT / "Package.swift").read_text())[1]
    swift, version, debian = re.fullmatch(r"(swift):([\d.]+)-(\w+)", builder).groups()
    assert [int(n) for n in version.split(".")] >= [int(n) for n in wanted.split(".")]
    assert runtime == f"debian:{debian}-slim" and name


def test_what_is_copied_exists_and_reaches_the_builder():
    copies = [copy for copy in DOCKERFILE.all("COPY") if "from" not in copy.flags]
    assert copies and not DOCKERFILE.all("ADD")
    for copy in copies:
        for source in copy.words[:-1]:
            assert (ROOT / source).exists(), f"{source} does not exist"
            assert files_of(ROOT, source, IGNORED), f"{source} is kept away by .dockerignore"
    names = [name for _, name in DOCKERFILE.stages]
    assert all(copy.flags["from"] in names for copy in DOCKERFILE.all("COPY") if "from" in copy.flags)


@pytest.mark.parametrize("path", [".git/config", ".build/release/drawbridge", "drawbridge-data/spool", "docker/.env"])
def test_what_is_private_or_big_stays_away_from_the_builder(path):
    assert path in IGNORED


def test_the_manifest_finds_all_of_its_targets_in_what_is_copied(tmp_path):
    """The COPY steps of the first stage, carried out; then SwiftPM reads the package, which stops at a missing folder."""
    for copy in DOCKERFILE.all("COPY", stage=0):
        for source in copy.words[:-1]:
            for file in files_of(ROOT, source, IGNORED):
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, tmp_path / file)
    assert not (tmp_path / "Tests/Interop").exists()
    result = subprocess.run(
        [program("swift"), "package", "--package-path", str(tmp_path), "describe", "--type", "json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0 and '"drawbridge"' in result.stdout, result.stderr


def test_every_run_is_sound_shell_and_the_program_is_copied_from_where_it_was_built():
    for run in DOCKERFILE.all("RUN"):
        subprocess.run(["sh", "-n", "-c", run.text], check=True)
    build = next(run.text for run in DOCKERFILE.all("RUN", stage=0) if "release.sh" in run.text)
    script = (ROOT / "scripts/release.sh").read_text()
    assert "--static-swift-stdlib" in script, "the image that runs it has no Swift"
    [taken] = [copy for copy in DOCKERFILE.all("COPY", stage=1) if "from" in copy.flags]
    assert f" {taken.words[0]} " in build and taken.words[1] == "/usr/local/bin/drawbridge"


@pytest.mark.skipif(not shutil.which("apt-cache"), reason="only apt knows the packages of Debian")
def test_apt_knows_every_package():
    packages = DOCKERFILE.packages(0) + DOCKERFILE.packages(1)
    assert "libsqlite3-0" in packages and "ca-certificates" in packages
    answer = subprocess.run(["apt-cache", "policy", *packages], capture_output=True, text=True, check=True).stdout
    known = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", answer, re.MULTILINE)
    assert sorted(known) == sorted(packages)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="only dpkg knows whose file a library is")
def test_the_image_has_every_library_that_the_program_needs():
    libraries = subprocess.run(["ldd", drawbridge_binary()], capture_output=True, text=True, check=True).stdout
    paths = [pathlib.Path(path).resolve() for path in re.findall(r"(?:=> |^\s+)(/\S+) \(", libraries, re.MULTILINE)]
    # Those of Swift come with the toolchain and are inside the program that the Dockerfile builds.
    paths = [path for path in paths if "/lib/swift/" not in str(path)]
    answer = subprocess.run(["dpkg", "-S", *(f"*/{path.name}" for path in paths)], capture_output=True, text=True).stdout
    owners = {path: line.split(":")[0] for line in answer.splitlines() for path in [line.split(": ")[-1].split("/")[-1]]}
    needed = {owners[path.name] for path in paths}
    # What Debian slim has anyway.
    assert needed - {"libc6", "libgcc-s1"} <= set(DOCKERFILE.packages(1)), needed


def test_nobody_in_particular_runs_it_and_the_volume_is_where_it_writes():
    user, group = DOCKERFILE.last("USER").text.split(":")
    assert int(user) > 0 and int(group) > 0
    after = DOCKERFILE.instructions[DOCKERFILE.instructions.index(DOCKERFILE.last("USER")) :]
    assert not any(i.keyword in ("RUN", "COPY") for i in after)
    made = DOCKERFILE.all("RUN", stage=1)[-1].text
    assert f"useradd --uid {user} " in made and f"-o {user} -g {group} -m 0700 {DATA}" in made
    assert DOCKERFILE.last("VOLUME").words == [DATA] == DOCKERFILE.last("WORKDIR").words
    assert DOCKERFILE.last("ENTRYPOINT").words == ["drawbridge"], "the program is process 1 and hears SIGTERM"
    assert DOCKERFILE.last("CMD").words == ["run", "--config", CONFIG, "--data", DATA]
    assert ["docker/drawbridge.toml", CONFIG] in [copy.words for copy in DOCKERFILE.all("COPY", stage=1)]
    assert {"1883", "8083"} <= set(DOCKERFILE.last("EXPOSE").words)


class Container(Drawbridge):
    """A container without an engine: what the image runs, with folders of its own and loopback for the network."""

    def __init__(self, folder, name, config, environment=None):
        super().__init__(folder, name)
        self.environment = environment or {}
        self.data.mkdir(mode=0o700, exist_ok=True)
        text = self.at_home(config.read_text())
        text = text.replace("0.0.0.0:1883", f"127.0.0.1:{self.port}").replace("0.0.0.0:8083", f"127.0.0.1:{self.web_port}")
        assert "0.0.0.0" not in text
        self.config_file.write_text(text)

    def at_home(self, text):
        return text.replace(CONFIG, str(self.config_file)).replace(DATA, str(self.data))

    @property
    def command(self):
        words = DOCKERFILE.last("ENTRYPOINT").words + DOCKERFILE.last("CMD").words
        return [drawbridge_binary(), *map(self.at_home, words[1:])]

    def start(self, seconds=30, environment=None):
        return super().start(seconds, {**self.environment, **(environment or {})})

    def is_healthy(self, words):
        """Runs a health check, given as the words after CMD."""
        assert words[0] == "drawbridge"
        command = [drawbridge_binary(), *map(self.at_home, words[1:])]
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0

    def add_user(self, name, password):
        command = [drawbridge_binary(), "passwd", str(self.data / "users"), name]
        subprocess.run(command, input=password, text=True, check=True, capture_output=True)


def test_the_image_starts_only_with_users_lets_them_in_and_says_how_it_is(brokers, tmp_path):
    node = brokers.keep(Container(tmp_path, "image", FOLDER / "drawbridge.toml"))
    assert check(node.config_file).returncode != 0, "nobody may come in from outside without a name"
    node.add_user("ann", "secret")
    assert check(node.config_file).returncode == 0
    health = DOCKERFILE.last("HEALTHCHECK")
    keyword, words = health.text.split(" ", 1)
    assert keyword == "CMD" and {"interval", "timeout", "start-period", "retries"} <= set(health.flags)
    words = json.loads(words)
    assert not node.is_healthy(words)
    node.start()
    assert node.is_healthy(words)
    assert ask(node.web_port, "POST", "/v1/publish/a", b"x").status == 401
    ann = ["Authorization: Basic YW5uOnNlY3JldA=="]
    assert ask(node.web_port, "POST", "/v1/publish/a", b"x", headers=ann).status == 200
    assert node.stop() == 0
    assert not node.is_healthy(words)


# -------------------------------------------------------------------------------------------------- the compose file

SERVICE_KEYS = {
    *("image", "build", "restart", "read_only", "tmpfs", "cap_drop", "security_opt", "ulimits", "stop_grace_period"),
    *("healthcheck", "depends_on", "environment", "entrypoint", "command", "volumes", "ports"),
}


def test_the_compose_file_says_only_what_compose_knows():
    assert set(COMPOSE) == {"name", "x-node", "services", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert set(service["build"]) == {"context", "dockerfile"}
        assert (FOLDER / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).resolve() == FOLDER / "Dockerfile"
        assert set(service["healthcheck"]) in ({"disable"}, {"test", "interval", "timeout", "start_period", "retries"})
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (FOLDER / source).is_file() and target == CONFIG and mode == ["ro"]
            else:
                assert source in COMPOSE["volumes"] and target == DATA
        for other, what in service.get("depends_on", {}).items():
            assert other in SERVICES
            is_checked = "test" in SERVICES[other]["healthcheck"]
            assert what == {"condition": "service_healthy" if is_checked else "service_completed_successfully"}
        for port in service.get("ports", []):
            address, published, inside = port.rsplit(":", 2)
            assert ipaddress.ip_address(address).is_loopback and inside in DOCKERFILE.last("EXPOSE").words
    taken = [port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(taken) == len(set(taken))


def test_no_container_may_do_more_than_it_needs():
    for name, service in SERVICES.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_docker_compose_reads_the_file_where_it_is_installed():
    """The real reader, when there is one: it needs no engine for this."""
    docker = shutil.which("docker")
    command = [docker, "compose"] if docker else ["docker-compose"]
    if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode != 0:
        pytest.skip("docker compose is not installed")
    command += ["--file", str(FOLDER / "compose.yaml"), "config", "--quiet"]
    subprocess.run(command, env={**os.environ, **PASSWORDS}, check=True)
    bare = {key: value for key, value in os.environ.items() if key not in PASSWORDS}
    assert subprocess.run([*command, "--env-file", "/dev/null"], env=bare, capture_output=True).returncode != 0


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "hub-users"])
def test_what_a_service_mounts_is_a_sound_configuration(name, tmp_path):
    environment = {key: interpolated(value) for key, value in SERVICES[name].get("environment", {}).items()}
    [config] = [v.split(":")[0] for v in SERVICES[name]["volumes"] if v.startswith(".")]
    node = Container(tmp_path, name, FOLDER / config)
    node.add_user("ann", "secret")
    result = check(node.config_file, **environment)
    assert result.returncode == 0 and "warning" not in result.stdout, result


def started(brokers, folder):
    """All services in the order that `depends_on` asks for, as processes."""
    containers = {}
    programs = folder / "bin"
    programs.mkdir()
    (programs / "drawbridge").symlink_to(drawbridge_binary())

    def start(name):
        if name in containers:
            return
        service = SERVICES[name]
        for other in service.get("depends_on", {}):
            start(other)
        environment = {key: interpolated(value) for key, value in service.get("environment", {}).items()}
        if "command" in service:
            # It shares its volume with another service, which is made now and started later.
            [volume] = [v.split(":")[0] for v in service["volumes"]]
            [sharer] = [n for n, s in SERVICES.items() if n != name and f"{volume}:{DATA}" in s["volumes"]]
            script = interpolated(service["command"][0]).replace(DATA, str(folder / sharer / "data"))
            (folder / sharer / "data").mkdir(parents=True, mode=0o700)
            environment["PATH"] = f"{programs}:{os.environ['PATH']}"
            subprocess.run([*service["entrypoint"], script], env=environment, check=True, capture_output=True)
            containers[name] = None
            return
        [config] = [v.split(":")[0] for v in service["volumes"] if v.startswith(".")]
        if "hub" in containers:
            environment |= {"HUB_HOST": "127.0.0.1", "HUB_PORT": str(containers["hub"].port)}
        container = brokers.keep(Container(folder, name, FOLDER / config, environment))
        containers[name] = container.start()
        words = service["healthcheck"]["test"]
        assert words[0] == "CMD" and container.is_healthy(words[1:])

    for name in SERVICES:
        start(name)
    return containers


def test_two_sites_and_a_hub_talk_report_and_obey(brokers, tmp_path):
    containers = started(brokers, tmp_path)
    hub, one, two = (containers[name] for name in ("hub", "site-1", "site-2"))
    for site in (one, two):
        site.wait_for_link()
    anonymous = [program("mosquitto_pub"), "-p", str(hub.port), "-t", "chat/lobby", "-m", "x"]
    assert subprocess.run(anonymous, capture_output=True).returncode != 0, "the hub lets in nobody without a name"
    with PahoFive(one, "ann") as ann, PahoFive(two, "bob") as bob:
        ann.subscribe("#", 2)
        bob.subscribe("#", 2)
        ann.publish("chat/lobby", "hello", 2)
        assert bob.wait_for(1) == [Message("chat/lobby", "hello", 2, False)]
        assert ask(two.web_port, "POST", "/v1/publish/chat/lobby?qos=1", b"hello ann").status == 200
        assert ann.wait_for(2)[1] == Message("chat/lobby", "hello ann", 1, False)

        operator = ["-p", str(hub.port), "-u", "operator", "-P", PASSWORDS["OPERATOR_PASSWORD"]]
        send = [program("mosquitto_pub"), *operator, "-q", "1", "-t", "site/site-2/cmd/door", "-m", "open"]
        subprocess.run(send, check=True, timeout=20)
        assert bob.wait_for(3)[2] == Message("cmd/door", "open", 1, False)
        listen = [program("mosquitto_sub"), *operator, "-t", "site/+/sensors/#", "-v", "-C", "1", "-W", "20"]
        with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
            # A reading counts only when the operator listens already, so it is retained.
            ann.publish("sensors/hall", "21", 1, True)
            assert listener.communicate(timeout=30)[0].split() == ["site/site-1/sensors/hall", "21"]

        # One site has no say in the place of another.
        posing = ["-p", str(hub.port), "-u", "site-1", "-P", PASSWORDS["SITE_1_PASSWORD"], "-V", "5", "-q", "1"]
        send = [program("mosquitto_pub"), *posing, "-t", "site/site-2/cmd/door", "-m", "open"]
        subprocess.run(send, capture_output=True, timeout=20)
        send = [program("mosquitto_pub"), *posing, "-t", "chat/lobby", "-m", "heard"]
        subprocess.run(send, check=True, timeout=20)
        assert bob.wait_for(4)[3] == Message("chat/lobby", "heard", 1, False)

        # The hub goes away and comes back: what was said meanwhile arrives once.
        assert hub.stop() == 0
        ann.publish("chat/lobby", "anybody there?", 2)
        hub.start()
        eventually("it arrives", lambda: bob.messages[-1] == Message("chat/lobby", "anybody there?", 2, False))
        assert [m.topic for m in bob.messages].count("chat/lobby") == 4

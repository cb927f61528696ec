"""The brokers of others that links lead to, as Debian packages them; mosquitto is in brokers.py.

Each says of itself what a link has to know: which version it speaks, how far its QoS goes, whether it sends back what
it got (`echoes`), which filter brings its retained messages.
"""

import glob
import os
import pathlib
import subprocess

from brokers import BrokerProcess, Mosquitto, accepts, free_port, program
from eventually import eventually


class Upstream(BrokerProcess):
    protocol = '"3.1.1"'
    link_more = ""
    highest_qos = 2
    echoes = False
    client_version = 4
    start_seconds = 120

    def wait_until_it_listens(self):
        def is_ready():
            assert self.is_running, f"{self.name} ended with {self.process.returncode}{self.log_tail()}"
            return accepts(self.port)

        eventually(lambda: f"{self.name} accepts connections{self.log_tail()}", is_ready, self.start_seconds)
        return self

    def restart(self):
        return self.start()


class MosquittoUpstream(Mosquitto):
    """Version 3.1.1 with the bridge bit, its own bridges' way; version 5 is in test_links.py."""

    protocol = '"3.1.1"'
    link_more = "bridge_bit = true"
    highest_qos = 2
    echoes = False
    client_version = 4


class Nats(Upstream):
    """nats-server: MQTT 3.1.1 over JetStream, which wants a name and a folder. Debian's speaks QoS 0 and 1."""

    highest_qos = 1
    echoes = True

    def __init__(self, folder, name="nats"):
        super().__init__(folder, name)
        self.port = free_port()
        self.config_file = self.folder / "nats.conf"
        self.config_file.write_text(
            f"""
server_name: "{name}"
listen: "127.0.0.1:{free_port()}"
jetstream {{ store_dir: "{self.folder}/jetstream" }}
mqtt {{ listen: "127.0.0.1:{self.port}" }}
"""
        )

    def start(self):
        self.spawn([program("nats-server"), "-c", str(self.config_file)])
        return self.wait_until_it_listens()


class RabbitMQ(Upstream):
    """rabbitmq-server with its MQTT plugin. Its Erlang asks a name server for its peers; that one is ours as well, and
    ends with it."""

    highest_qos = 1
    echoes = True

    def __init__(self, folder, name="rabbitmq"):
        super().__init__(folder, name)
        self.port, self.names_port, self.distribution_port = free_port(), free_port(), free_port()
        self.names = None
        (self.folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        (self.folder / "env").touch()
        (self.folder / "rabbitmq.conf").write_text(
            f"""
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
log.console = true
log.file = false
"""
        )

    def start(self):
        found = sorted(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
        assert found, "rabbitmq-server is not installed: run scripts/setup.sh test"
        if self.names is None:
            self.names = subprocess.Popen(
                [program("epmd"), "-port", str(self.names_port), "-address", "127.0.0.1"], stdin=subprocess.DEVNULL
            )
            eventually("epmd listens", lambda: accepts(self.names_port))
        folder = str(self.folder)
        # Without the wrapper, that wants to be the user rabbitmq; RABBITMQ_ALLOW_INPUT makes the script become Erlang
        # itself, so that the process that we started is the one that we end.
        environment = {
            "HOME": folder,
            "ERL_EPMD_PORT": str(self.names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_NODENAME": f"{self.name}@localhost",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/generated",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{folder}/feature_flags",
        }
        self.spawn([found[-1]], environment)
        return self.wait_until_it_listens()

    def clean_up(self):
        super().clean_up()
        if self.names:
            self.names.kill()
            self.names.wait()
            self.names = None


class Ejabberd(Upstream):
    """ejabberd with mod_mqtt: version 5 with No Local. A user there is always one of a domain."""

    protocol = "5"
    link_more = 'username = "edge@localhost"\npassword = "any"'
    client_version = 5
    login = ("tester@localhost", "any")

    def __init__(self, folder, name="ejabberd"):
        super().__init__(folder, name)
        self.port = free_port()
        self.config_file = self.folder / "ejabberd.yml"
        self.config_file.write_text(
            f"""
hosts: [localhost]
loglevel: info
auth_method: anonymous
anonymous_protocol: login_anon
allow_multiple_connections: true
listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: mod_mqtt
modules:
  mod_mqtt:
    access_publish: {{ "#": [allow: all] }}
    access_subscribe: {{ "#": [allow: all] }}
    session_expiry: 1 day
    max_queue: 100000
"""
        )

    def start(self):
        libraries = sorted(glob.glob("/usr/lib/*/ejabberd-*/ebin/ejabberd.app"))
        assert libraries, "ejabberd is not installed: run scripts/setup.sh test"
        environment = {
            "HOME": str(self.folder),
            "ERL_LIBS": str(pathlib.Path(libraries[-1]).parents[2]),
            "EJABBERD_CONFIG_PATH": str(self.config_file),
            "EJABBERD_LOG_PATH": os.fspath(self.folder / "ejabberd.log"),
        }
        # Alone, so without a name on the network, and without ejabberdctl, that wants to be the user ejabberd.
        database = f'"{self.folder}/database"'
        self.spawn([program("erl"), "-noinput", "+K", "true", "-mnesia", "dir", database, "-s", "ejabberd"], environment)
        return self.wait_until_it_listens()


UPSTREAMS = {"mosquitto": MosquittoUpstream, "nats": Nats, "rabbitmq": RabbitMQ, "ejabberd": Ejabberd}

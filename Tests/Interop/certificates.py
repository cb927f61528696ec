"""Certificates for tests, made by `drawbridge cert init`, and what speaks TLS with them."""

import pathlib
import ssl
import subprocess
import types

from brokers import drawbridge_binary, free_port, program
from keys import Authority
from wire import Wire


class Certificates:
    """A folder as `drawbridge cert init` makes it."""

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder)
        result = subprocess.run(
            [drawbridge_binary(), "cert", "init", str(folder), "--p12-password", "secret", *options],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        self.output = result.stdout

    def __getattr__(self, name):
        """`ca_crt` is the path of ca.crt."""
        return str(self.folder / name.replace("_", "."))

    def context(self, client=False):
        """For a client that trusts this authority, and shows its certificate if wanted."""
        context = ssl.create_default_context(cafile=self.ca_crt)
        if client:
            context.load_cert_chain(self.client_crt, self.client_key)
        return context

    def mosquitto(self, client=True):
        """The options of mosquitto_pub and mosquitto_sub."""
        return ["--cafile", self.ca_crt] + (["--cert", self.client_crt, "--key", self.client_key] if client else [])


def openssl(*arguments, input=None, check=True):
    result = subprocess.run(
        [program("openssl"), *map(str, arguments)], capture_output=True, text=True, timeout=60, input=input
    )
    assert not check or result.returncode == 0, result.stderr
    return result


class Doors:
    """A Drawbridge that has an MQTT and a web port with TLS beside those without."""

    def __init__(self, brokers, certificates, name="a", settings="", more="", links=""):
        self.certificates = certificates
        self.tls_port, self.web_tls_port = free_port(), free_port()
        files = f'cert = "{certificates.server_crt}"\nkey = "{certificates.server_key}"\n'
        listeners = "".join(
            f'[[listener]]\nname = "{name}"\ntype = "{kind}"\nbind = ["127.0.0.1:{port}"]\n[listener.tls]\n{files}{settings}\n'
            for name, kind, port in [("mqtts", "mqtt", self.tls_port), ("wss", "web", self.web_tls_port)]
        )
        self.node = brokers.drawbridge(name, more=more, links=listeners + links)

    def start(self, *arguments):
        self.node.start(*arguments)
        return self

    @property
    def secure(self):
        """The doors with TLS, in the form that clients of others take a broker."""
        return types.SimpleNamespace(
            login=None,
            port=self.tls_port, web_port=self.web_tls_port, keys=Authority(self.certificates.ca_crt)
        )

    def wire(self, client_id, client=False, **options):
        return TLSWire(self.tls_port, client_id, context=self.certificates.context(client), **options)


class TLSWire(Wire):
    """A connection of `wire`, through TLS."""

    def __init__(self, port, client_id, context, server_name="localhost", **options):
        self.context, self.server_name = context, server_name
        super().__init__(port, client_id, **options)

    def connected(self, plain):
        return self.context.wrap_socket(plain, server_hostname=self.server_name)

    @property
    def serial(self):
        """Which certificate the server showed."""
        return self.socket.getpeercert()["serialNumber"]

    def fill(self, seconds):
        try:
            super().fill(seconds)
        except ssl.SSLWantReadError:
            pass

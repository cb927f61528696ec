"""Do links get through to upstreams of every kind: old versions, secrets that change, several addresses, proxies?"""

import contextlib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from brokers import free_port, link_to, program
from certificates import Certificates, Doors
from clients import PahoClient, PahoFive
from eventually import eventually
from http_proxy import HTTPProxy
from test_tls_links import carries, error_of, mosquitto_hub, own
from upstreams import Nats, RabbitMQ
from weak_line import WeakLine


def link(addresses, settings="", rules='[[link.both]]\nfilter = "chat/#"\nqos = 2\n', tls=""):
    addresses = ", ".join(f'"{address}"' for address in addresses)
    return f"""
[defaults.link]
backoff = {{ base = "100ms", cap = "1s", stable = "300ms" }}
[[link]]
name = "hub"
addresses = [{addresses}]
{settings}
{rules}
{tls}
"""


# ----------------------------------------------------------------------------------------------------------- versions

up_and_down = """
[[link.out]]
filter = "up/#"
[[link.in]]
filter = "down/#"
"""


@pytest.mark.parametrize("kind", [Nats, RabbitMQ])
def test_an_upstream_that_knows_3_1_1_only_is_reached_without_saying_so(brokers, tmp_path, kind):
    hub = brokers.keep(kind(tmp_path, "hub")).start()
    a = brokers.drawbridge("a", links=link([f"mqtt://127.0.0.1:{hub.port}"], rules=up_and_down)).start()
    a.wait_for_link()
    with PahoClient(hub, "at-hub") as there, PahoFive(a, "at-a") as here:
        there.subscribe("up/#", 1)
        here.subscribe("down/#", 1)
        here.publish("up/1", "from a", 1)
        there.wait_for(1)
        there.publish("down/1", "from the hub", 1)
        here.wait_for(1)


def test_a_link_that_would_get_its_own_messages_back_in_3_1_1_stays_away(brokers, tmp_path):
    hub = brokers.keep(Nats(tmp_path, "hub")).start()
    a = brokers.drawbridge("a", links=link([f"mqtt://127.0.0.1:{hub.port}"])).start()
    error_of(a, "the upstream refused: ")


@pytest.mark.parametrize("version", ["3.1", "3.1.1"])
def test_mosquitto_is_spoken_to_in_the_old_versions(brokers, version):
    hub = brokers.mosquitto("hub").start()
    settings = f'protocol = "{version}"\nbridge_bit = true\nclient_id = "a"'
    a = brokers.drawbridge("a", links=link([f"mqtt://127.0.0.1:{hub.port}"], settings)).start()
    carries(hub, a)


# ---------------------------------------------------------------------------------------------------------- passwords


def guarded_hub(brokers, tmp_path, password):
    passwords = tmp_path / "passwords"
    passwords.touch()
    subprocess.run([program("mosquitto_passwd"), "-b", passwords, "edge", password], check=True)
    passwords.chmod(0o644)
    hub = brokers.mosquitto("hub", more=f"password_file {passwords}")
    hub.config_file.write_text(hub.config_file.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    return hub


def test_a_password_that_changed_is_used_at_the_next_try_without_a_reload(brokers, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("old\n")
    secret.chmod(0o600)
    hub = guarded_hub(brokers, tmp_path, "new").start()
    for name, source in [("a", f'{{ file = "{secret}" }}'), ("b", f'{{ command = ["/bin/cat", "{secret}"] }}')]:
        secret.write_text("old\n")
        settings = f'username = "edge"\npassword = {source}'
        a = brokers.drawbridge(name, links=link([f"mqtt://127.0.0.1:{hub.port}"], settings)).start()
        error_of(a, "the upstream refused: ")
        secret.write_text("new\n")
        a.wait_for_link()
        assert a.stop() == 0


def test_a_password_that_cannot_be_had_is_told_and_disturbs_nobody(brokers, tmp_path):
    script = tmp_path / "token"
    script.write_text("#!/bin/sh\necho 'no token today' >&2\nexit 7\n")
    script.chmod(0o755)
    hub = guarded_hub(brokers, tmp_path, "right").start()
    settings = f'username = "edge"\npassword = {{ command = ["{script}"] }}'
    a = brokers.drawbridge("a", links=link([f"mqtt://127.0.0.1:{hub.port}"], settings)).start()
    error_of(a, f"password: {script} ended with 7: no token today")
    # One that hangs holds up nothing but itself, and is given up.
    script.write_text("#!/bin/sh\nsleep 1000\n")
    script.chmod(0o755)
    eventually("the command hangs", lambda: "connecting" == (a.link() or {}).get("state"))
    began = time.monotonic()
    with PahoFive(a, "somebody") as client:
        client.subscribe("x", 1)
        client.publish("x", "y", 1)
        client.wait_for(1)
    assert time.monotonic() - began < 5
    eventually(
        lambda: f"the link says that it takes too long; it says {a.link()}",
        lambda: f"{script} did not end within 10s" in ((a.link() or {}).get("last_error") or ""),
    )
    script.write_text("#!/bin/sh\necho right\n")
    a.wait_for_link()


def test_a_command_gets_none_of_our_open_files(brokers, tmp_path):
    listing = tmp_path / "listing"
    hub = brokers.mosquitto("hub").start()
    settings = f'username = "edge"\npassword = {{ command = ["sh", "-c", "ls -l /proc/self/fd > {listing}; echo x"] }}'
    a = brokers.drawbridge("a", links=link([f"mqtt://127.0.0.1:{hub.port}"], settings)).start()
    a.wait_for_link()
    text = listing.read_text()
    assert "socket" not in text and "spool" not in text, text


# ---------------------------------------------------------------------------------------------------------- addresses


def test_a_black_hole_costs_its_timeout_and_the_link_returns_when_it_answers(brokers):
    """The first address accepts and never answers; the second has the traffic within seconds. When the first is a
    broker again the link goes back to it."""
    first, second = brokers.mosquitto("first"), brokers.mosquitto("second").start()
    hole, held = socket.create_server(("127.0.0.1", first.port)), []
    addresses = [f"mqtt://127.0.0.1:{broker.port}" for broker in (first, second)]
    a = brokers.drawbridge("a", links=link(addresses, 'connect_timeout = "1s"', up_and_down)).start()
    began = time.monotonic()
    a.wait_for_link()
    assert time.monotonic() - began < 4
    with PahoClient(second, "at-second") as there, PahoFive(a, "at-a") as here:
        there.subscribe("up/#", 1)
        here.publish("up/1", "over the second", 1)
        there.wait_for(1)
        # Still a hole: it accepts, and the link is not so dull as to believe that.
        eventually("the better address is asked", lambda: len(accept_all(hole, held)) >= 3)
        here.publish("up/2", "over the second still", 1)
        there.wait_for(2)
    hole.close()
    for connection, _ in held:
        connection.close()
    first.start()
    with PahoClient(first, "at-first") as there, PahoFive(a, "at-a") as here:
        there.subscribe("up/#", 1)
        eventually(lambda: a.log_tail(), lambda: "returns to a better address" in a.log())
        a.wait_for_link()
        here.publish("up/3", "over the first", 1)
        there.wait_for(1)
    assert a.log().count("returns to a better address") == 1


def accept_all(listener, accepted):
    """All that have come in so far, which are kept and never answered."""
    listener.setblocking(False)
    try:
        while True:
            accepted.append(listener.accept())
    except BlockingIOError:
        return accepted


def test_a_connection_that_is_lost_leads_to_the_next_address_at_once(brokers):
    first, second = brokers.mosquitto("first").start(), brokers.mosquitto("second").start()
    addresses = [f"mqtt://127.0.0.1:{broker.port}" for broker in (first, second)]
    # A pause would be a minute.
    links = link(addresses, rules=up_and_down).replace('base = "100ms", cap = "1s"', 'base = "1m", cap = "2m"')
    a = brokers.drawbridge("a", links=links).start()
    a.wait_for_link()
    first.kill()
    eventually(lambda: second.log_tail(), lambda: "New client connected" in second.log(), 10)
    a.wait_for_link(seconds=10)


def test_round_robin_goes_on_to_the_next_and_does_not_return(brokers):
    first, second = brokers.mosquitto("first").start(), brokers.mosquitto("second").start()
    addresses = [f"mqtt://127.0.0.1:{broker.port}" for broker in (first, second)]
    a = brokers.drawbridge("a", links=link(addresses, 'prefer = "round-robin"', up_and_down)).start()
    a.wait_for_link()
    assert "a.hub" in first.log() and "a.hub" not in second.log()
    first.kill()
    eventually(lambda: second.log_tail(), lambda: "a.hub" in second.log())
    first.restart()
    second.kill()
    a.wait_for_link()
    eventually(lambda: first.log_tail(), lambda: "a.hub" in first.log_since_start())


def test_a_name_is_resolved_at_each_try_and_all_its_addresses_are_tried(brokers):
    """localhost is ::1 and 127.0.0.1, and the broker is at one of them only."""
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge("a", links=link([f"mqtt://localhost:{hub.port}"])).start()
    carries(hub, a)


# -------------------------------------------------------------------------------------------------------------- proxy


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "tls", "--client", "edge-1")


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
def test_a_link_goes_through_an_http_proxy_by_every_scheme(brokers, certificates, scheme):
    """The name of the upstream is one that only the proxy knows."""
    settings = f'client_ca = "{certificates.ca_crt}"\nclient_cert = "required"\n'
    hub = Doors(brokers, certificates, "hub", settings=settings).start()
    plain = brokers.drawbridge("plain").start()
    port = {"mqtt": plain.port, "ws": plain.web_port, "mqtts": hub.tls_port, "wss": hub.web_tls_port}[scheme]
    tls = "[link.tls]\n" + own(certificates) + 'server_name = "localhost"\n' if scheme in ("mqtts", "wss") else ""
    with HTTPProxy("edge:p@ss:word", {"hub.invalid": "127.0.0.1"}) as proxy:
        settings = f'proxy = "http://edge:p%40ss:word@127.0.0.1:{proxy.port}"'
        a = brokers.drawbridge("a", links=link([f"{scheme}://hub.invalid:{port}"], settings, tls=tls)).start()
        carries(hub.node if tls else plain, a)
        assert proxy.asked[0] == (f"hub.invalid:{port}", f"hub.invalid:{port}", 200)
        assert "p@ss" not in a.log()


def test_a_proxy_that_says_no_is_told_in_the_state_of_the_link(brokers):
    hub = brokers.mosquitto("hub").start()
    address = f"mqtt://127.0.0.1:{hub.port}"
    with HTTPProxy("edge:right") as proxy:
        for name, login, text in [
            ("a", "edge:wrong@", "does not accept our user and password"),
            ("b", "", "wants a user and a password"),
        ]:
            a = brokers.drawbridge(name, links=link([address], f'proxy = "http://{login}127.0.0.1:{proxy.port}"')).start()
            error_of(a, text)
            assert "wrong" not in a.log()
            a.stop()
        nowhere = link([f"mqtt://127.0.0.1:{free_port()}"], f'proxy = "http://edge:right@127.0.0.1:{proxy.port}"')
        error_of(brokers.drawbridge("c", links=nowhere).start(), "answers 502 Bad Gateway")
    error_of(brokers.drawbridge("d", links=link([address], f'proxy = "http://127.0.0.1:{hub.port}"')).start(), "proxy")


# ---------------------------------------------------------------------------------------------------------------- TLS


class Handshakes:
    """A TLS server of OpenSSL's that notes what clients ask for, and hangs up."""

    def __init__(self, certificates, protocols):
        self.asked, self.names = [], []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server_crt, certificates.server_key)
        context.load_verify_locations(certificates.ca_crt)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(protocols)
        context.sni_callback = lambda socket, name, context: self.names.append(name)
        self.context, self.listener = context, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.listener.close()

    def serve(self):
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(wire, server_side=True) as tls:
                    subject = dict(entry[0] for entry in (tls.getpeercert() or {}).get("subject", ()))
                    self.asked.append((self.names.pop(), tls.selected_alpn_protocol(), subject.get("commonName")))
            except OSError:
                pass


@pytest.mark.parametrize(
    "address, settings, asked",
    [
        ("mqtts://localhost", "", ("localhost", "mqtt", "edge-1")),
        ("wss://localhost", "", ("localhost", "http/1.1", "edge-1")),
        # An address is no name to ask for.
        ("mqtts://127.0.0.1", "", (None, "mqtt", "edge-1")),
        ("mqtts://127.0.0.1", 'server_name = "localhost"', ("localhost", "mqtt", "edge-1")),
        ("mqtts://localhost", 'alpn = ["x-amzn-mqtt-ca", "mqtt"]', ("localhost", "x-amzn-mqtt-ca", "edge-1")),
        ("mqtts://localhost", "alpn = []", ("localhost", None, "edge-1")),
    ],
)
def test_a_link_asks_for_the_name_and_the_protocol_and_shows_its_certificate(
    brokers, certificates, address, settings, asked
):
    with Handshakes(certificates, ["x-amzn-mqtt-ca", "mqtt", "http/1.1"]) as server:
        tls = "[link.tls]\n" + own(certificates) + settings
        brokers.drawbridge("a", links=link([f"{address}:{server.port}"], tls=tls)).start()
        eventually("somebody asks", lambda: server.asked)
        assert server.asked[0] == asked


# -------------------------------------------------------------------------------------------------- store and forward


@pytest.mark.parametrize("kept", ["memory", "disk", "drop"])
def test_qos_0_while_the_line_is_down_is_kept_as_configured(brokers, kept):
    hub = brokers.mosquitto("hub").start()
    rules = f'[link.spool]\nqos0 = "{kept}"\n{up_and_down}'
    with contextlib.closing(WeakLine(free_port(), hub.port)) as line, PahoClient(hub, "at-hub") as there:
        there.subscribe("up/#", 1)
        a = brokers.drawbridge("a", links=link([f"mqtt://127.0.0.1:{line.port}"], rules=rules)).start()
        a.wait_for_link()
        line.cut()
        a.wait_for_link(state="backing off")
        with PahoFive(a, "at-a") as here:
            for number in range(100):
                here.publish("up/0", str(number), 0)
            here.publish("up/1", "last", 1)
        line.heal()
        expected = [] if kept == "drop" else [str(number) for number in range(100)]
        there.wait_for(len(expected) + 1)
        assert [m.payload for m in there.messages if m.qos == 0] == expected

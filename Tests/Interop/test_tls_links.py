"""Do links come through TLS to whom they should and to nobody else, and do they say what is wrong?"""

import shutil

import pytest

from brokers import free_port
from certificates import Certificates, Doors
from clients import PahoClient, PahoFive
from eventually import eventually


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "tls", "--client", "edge-1")


def link(address, settings="", protocol='5'):
    return f"""
[defaults.link]
backoff = {{ base = "100ms", cap = "1s" }}
[[link]]
name = "hub"
addresses = ["{address}"]
protocol = {protocol}
[[link.both]]
filter = "chat/#"
qos = 2
[link.tls]
{settings}
"""


def mosquitto_hub(brokers, certificates, more=""):
    """Mosquitto with a listener for TLS that wants client certificates."""
    port = free_port()
    hub = brokers.mosquitto(
        "hub",
        more=f"""
listener {port} 127.0.0.1
cafile {certificates.ca_crt}
certfile {certificates.server_crt}
keyfile {certificates.server_key}
{more}
""",
    )
    hub.tls_port = port
    return hub.start()


def own(certificates):
    return f'ca = "{certificates.ca_crt}"\ncert = "{certificates.client_crt}"\nkey = "{certificates.client_key}"\n'


def carries(hub, a):
    a.wait_for_link()
    with PahoClient(hub, "at-hub") as there, PahoFive(a, "at-a") as here:
        there.subscribe("chat/#", 2)
        here.subscribe("chat/#", 2)
        here.publish("chat/a", "from a", 2)
        there.wait_for(1)
        there.publish("chat/hub", "from the hub", 2)
        for client in (there, here):
            assert [m.payload for m in client.wait_for(2)] == ["from a", "from the hub"]


def test_a_link_goes_to_mosquitto_over_tls_with_its_own_certificate(brokers, certificates):
    hub = mosquitto_hub(brokers, certificates, "require_certificate true\nuse_identity_as_username true\n")
    a = brokers.drawbridge("a", links=link(f"mqtts://localhost:{hub.tls_port}", own(certificates))).start()
    carries(hub, a)
    eventually(lambda: hub.log_tail(), lambda: "u'edge-1'" in hub.log())


def test_a_link_goes_to_an_address_and_to_another_drawbridge(brokers, certificates):
    settings = f'client_ca = "{certificates.ca_crt}"\nclient_cert = "required"\n'
    hub = Doors(brokers, certificates, "hub", settings=settings).start()
    a = brokers.drawbridge("a", links=link(f"mqtts://127.0.0.1:{hub.tls_port}", own(certificates))).start()
    carries(hub.node, a)


def error_of(a, text):
    eventually(
        lambda: f"{text!r} is what the link says; it says {a.link()}{a.log_tail()}",
        lambda: text in ((a.link() or {}).get("last_error") or ""),
    )
    assert (a.link())["state"] != "live"
    assert text in a.log()


def test_an_upstream_of_an_unknown_authority_gets_nothing(brokers, certificates, tmp_path):
    hub = mosquitto_hub(brokers, certificates)
    stranger = Certificates(tmp_path / "stranger")
    address = f"mqtts://localhost:{hub.tls_port}"
    for name, settings in [("a", f'ca = "{stranger.ca_crt}"'), ("b", "")]:
        node = brokers.drawbridge(name, links=link(address, settings)).start()
        error_of(node, "is not trusted: its authority is CN=Drawbridge CA of")
        node.stop()
    assert "edge" not in hub.log()


def test_an_upstream_that_is_somebody_else_gets_nothing_unless_told_so(brokers, certificates, tmp_path):
    other = Certificates(tmp_path / "other")
    # The right authority, another host: only its certificate does not name 127.0.0.2.
    hub = Doors(brokers, certificates, "hub").start()
    ca = f'ca = "{certificates.ca_crt}"\n'
    address = f"mqtts://localhost:{hub.tls_port}"
    a = brokers.drawbridge("a", links=link(address, ca + 'server_name = "hub.example.com"')).start()
    error_of(a, "the certificate does not name the host that was dialled")
    a.stop()
    for name, settings in [
        ("b", ca + 'server_name = "hub.example.com"\nverify = "ca"'),
        ("c", f'ca = "{other.ca_crt}"\nserver_name = "hub.example.com"\nverify = "none"'),
        ("d", ca + 'server_name = "localhost"'),
    ]:
        node = brokers.drawbridge(name, links=link(address, settings)).start()
        carries(hub.node, node)
        node.stop()


def test_a_link_without_the_certificate_that_is_wanted_says_so(brokers, certificates):
    hub = mosquitto_hub(brokers, certificates, "require_certificate true\n")
    a = brokers.drawbridge("a", links=link(f"mqtts://localhost:{hub.tls_port}", f'ca = "{certificates.ca_crt}"')).start()
    error_of(a, "the other side wants a client certificate")


def test_a_link_to_a_port_without_tls_says_so_and_one_to_silence_gives_up(brokers, certificates):
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge("a", links=link(f"mqtts://localhost:{hub.port}", f'ca = "{certificates.ca_crt}"')).start()
    error_of(a, "during the handshake")


def test_a_link_takes_new_certificates_at_its_next_connection(brokers, certificates, tmp_path):
    """The hub changes its authority altogether; the edge is given the new one, and comes back by itself."""
    hub = Doors(brokers, certificates, "hub").start()
    a = brokers.drawbridge("a", links=link(f"mqtts://localhost:{hub.tls_port}", own(certificates))).start()
    a.wait_for_link()
    fresh = Certificates(tmp_path / "fresh", "--client", "edge-1")
    hub.node.stop()
    for path in fresh.folder.iterdir():
        shutil.copy(path, certificates.folder / path.name)
    hub.start()
    carries(hub.node, a)
    assert "notice new certificate" in a.log()


# ---------------------------------------------------------------------------------------------------------- WebSocket


def without_tls(address):
    return link(address).replace("[link.tls]\n", "")


def test_a_link_goes_to_mosquitto_over_websocket(brokers):
    hub = brokers.mosquitto("hub").start()
    a = brokers.drawbridge("a", links=without_tls(f"ws://127.0.0.1:{hub.web_port}")).start()
    carries(hub, a)


def test_a_link_goes_to_another_drawbridge_over_websocket_with_tls(brokers, certificates):
    settings = f'client_ca = "{certificates.ca_crt}"\nclient_cert = "required"\n'
    hub = Doors(brokers, certificates, "hub", settings=settings).start()
    a = brokers.drawbridge("a", links=link(f"wss://localhost:{hub.web_tls_port}/mqtt", own(certificates))).start()
    carries(hub.node, a)
    with PahoFive(hub.node, "at-hub") as there, PahoFive(a, "at-a") as here:
        here.subscribe("chat/#", 2)
        there.publish("chat/big", "x" * 300_000, 2)
        assert [len(m.payload) for m in here.wait_for(1)] == [300_000]
    hub.node.kill()
    a.wait_for_link(state="backing off")
    hub.start()
    a.wait_for_link()


def test_a_link_says_when_there_is_no_websocket_for_it(brokers):
    hub = brokers.drawbridge("hub").start()
    a = brokers.drawbridge("a", links=without_tls(f"ws://127.0.0.1:{hub.web_port}/nowhere")).start()
    error_of(a, "the WebSocket upgrade at /nowhere is answered with 404 Not Found")
    b = brokers.drawbridge("b", links=without_tls(f"ws://127.0.0.1:{hub.port}")).start()
    error_of(b, "during the WebSocket upgrade")

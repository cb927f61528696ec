"""A link of 3.1.1 without the bridge bit, and the same topics both ways: does the echo table keep copies from going round?"""

import time

import pytest
from brokers import link_to
from clients import PahoFive


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_mosquitto_sends_back_is_swallowed_and_what_is_new_is_not(brokers, qos):
    hub = brokers.mosquitto("hub").start()
    more = "loop = { echo_table = true }"
    site = brokers.drawbridge("site", links=link_to(hub.port, qos=2, protocol="3.1.1", more=more)).start()
    site.wait_for_link()
    with PahoFive(hub, "at-hub") as there, PahoFive(site, "at-site") as here:
        there.subscribe("chat/#", 2)
        here.subscribe("chat/#", 2)
        expected = []
        for number in range(50):
            here.publish("chat/x", f"here {number}", qos)
            there.publish("chat/x", f"there {number}", qos)
            expected += [f"here {number}", f"there {number}"]
        there.wait_for(100)
        here.wait_for(100)
        # Whatever goes round would go round now.
        time.sleep(1)
        for client in (here, there):
            assert sorted(message.payload for message in client.messages) == sorted(expected)

"""A disk that is full, fails, can only be read, or is slow: nothing unstored is acknowledged, and the rest goes on.

The disk is that of chaos/powercut.c, so a fault comes and goes at once and the file system beneath stays well.
"""

import json
import time
import urllib.error
import urllib.request

import pytest

from chaos.power import Power
from eventually import eventually
from wire import PUBACK, PUBLISH, PUBREC, Wire, packet_id_of

FAULTS = {
    "full": dict(space=0),
    "fails to write": dict(write_fails_in=0, write_fails_for=-1),
    "fails to sync": dict(sync_fails_in=0, sync_fails_for=-1),
    "can only be read": dict(read_only=1),
}
both_versions = pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


class Site:
    """A node on a disk that can be broken, with a durable session that is away: what it waits for must be stored."""

    def __init__(self, brokers, tmp_path):
        self.node = brokers.drawbridge("node")
        self.power = Power(self.node.data, tmp_path / "disk")
        self.seed = 0
        self.start()
        with Wire(self.node.port, "absent") as absent:
            absent.subscribe("stored/#", 2)

    def start(self):
        self.node.start(environment=self.power.environment)

    def cut_power(self):
        self.node.kill()
        self.power.heal()
        self.seed += 1
        self.power.cut(self.seed)

    def waiting(self, until):
        """What the durable session gets when it comes back, in order of arrival, up to that payload."""
        arrived = []
        with Wire(self.node.port, "absent") as absent:
            assert absent.session_present
            while until not in arrived:
                try:
                    packet = absent.read(5)
                except AssertionError:
                    raise AssertionError(f"{until} does not come; what came is {arrived}") from None
                if packet.kind == PUBLISH:
                    publication = absent.publication(packet)
                    arrived.append(publication.payload)
                    absent.answer(PUBACK if publication.qos == 1 else PUBREC, publication.packet_id)
        return arrived

    def health(self):
        """Status code and body, whatever they say."""
        try:
            with urllib.request.urlopen(f"{self.node.web}/healthz", timeout=5) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def site(brokers, tmp_path):
    return Site(brokers, tmp_path)


def answers(wire, seconds):
    """What comes within that time: it is nothing that is waited for here."""
    packets, deadline = [], time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        wire.fill(left)
        while packet := wire.next_packet():
            packets.append(packet)
    return packets


def is_refusal(packet):
    return packet.kind in (PUBACK, PUBREC) and len(packet.body) > 2 and packet.body[2] >= 0x80


@every_fault
@both_versions
@pytest.mark.parametrize("qos", [1, 2])
def test_nothing_unstored_is_acknowledged_and_all_is_well_once_the_disk_is(site, fault, version, qos):
    answer = PUBACK if qos == 1 else PUBREC
    with Wire(site.node.port, "writer", version) as writer:
        writer.publish("stored/x", b"before", qos, 1)
        assert writer.read().kind == answer
        site.power.break_disk(**fault)
        numbers = range(2, 12)
        for number in numbers:
            writer.publish("stored/x", str(number).encode(), qos, number)
        told = answers(writer, 1.5)
        assert all(is_refusal(packet) for packet in told), f"acknowledged on a sick disk: {told}"
        assert version == 5 or not told, "3.1.1 has no word for no"
        assert site.power.count("failures") > 0, "the fault was never met"
        site.power.heal()
        # What was refused is the publisher's again; what was not is answered without being sent again.
        missing = set(numbers)

        def hear():
            packet = writer.read(30)
            if is_refusal(packet):  # The node has not seen yet that its disk is well.
                number = packet_id_of(packet)
                writer.publish("stored/x", str(number).encode(), qos, number)
            elif packet.kind == answer:
                missing.discard(packet_id_of(packet))

        for number in sorted({packet_id_of(packet) for packet in told}):
            writer.publish("stored/x", str(number).encode(), qos, number)
            while number in missing:  # The next one could be taken while this one is refused again.
                hear()
        while missing:
            hear()
    site.cut_power()
    site.start()
    arrived = site.waiting(until=b"11")
    assert arrived == [b"before", *(str(number).encode() for number in numbers)]


@every_fault
def test_live_delivery_goes_on_while_the_disk_is_sick(site, fault):
    port = site.node.port
    with Wire(port, "viewer", clean=True) as viewer, Wire(port, "talker", clean=True) as talker:
        viewer.subscribe("live/#", 1)
        site.power.break_disk(**fault)
        with Wire(port, "writer", clean=True) as writer:  # makes it sick
            writer.publish("stored/x", b"held", 1, 1)
            eventually("the fault is met", lambda: site.power.count("failures") > 0)
            for number in range(50):
                talker.publish("live/x", str(number).encode(), 0)
                assert viewer.publication(viewer.read(2)).payload == str(number).encode()
            # QoS 1 goes live before it is stored; nobody durable waits for this one.
            talker.publish("live/x", b"one", 1, 1)
            assert viewer.publication(viewer.read(2)).payload == b"one"
        # Who is new gets in as well, as long as nothing of it has to be stored.
        with Wire(port, "newcomer", clean=True) as newcomer:
            newcomer.subscribe("live/#", 0)
            talker.publish("live/x", b"two", 0)
            assert newcomer.publication(newcomer.read(2)).payload == b"two"


@every_fault
def test_health_says_that_the_disk_is_sick_and_that_it_is_well_again(site, fault):
    def is_well():
        status, body = site.health()
        return status == 200 and body["status"] == "ok"

    assert is_well()
    site.power.break_disk(**fault)
    with Wire(site.node.port, "writer", clean=True) as writer:
        writer.publish("stored/x", b"held", 1, 1)
        eventually(lambda: f"health says it: {site.health()}", lambda: not is_well(), 5)
        site.power.heal()
        eventually(lambda: f"health says that it is well again: {site.health()}", is_well)


def test_a_failed_sync_is_not_taken_for_a_success_at_the_second_try(site):
    """Linux tells a failed fsync once, and the next one succeeds without these pages: only writing again helps.

    Each time one sync fails, some more is acknowledged, and the power is cut.
    """
    sent = 0
    for failing in range(12):
        with Wire(site.node.port, f"writer {failing}", clean=True) as writer:
            first = sent
            site.power.break_disk(sync_fails_in=failing % 4, sync_fails_for=1)
            for number in range(1, 9):
                writer.publish("stored/x", str(sent).encode(), 1, number)
                sent += 1
                packet = writer.read(30)
                while is_refusal(packet):
                    writer.publish("stored/x", str(sent - 1).encode(), 1, number)
                    packet = writer.read(30)
                assert packet.kind == PUBACK
                if number > failing % 4:
                    break  # the acknowledgement that followed the failure is the last thing the disk heard
        assert sent > first
        site.cut_power()
        site.start()
    with Wire(site.node.port, "last", clean=True) as last:
        last.publish("stored/x", b"end", 1, 1)
        assert last.read().kind == PUBACK
    arrived = site.waiting(until=b"end")
    lost = [number for number in range(sent) if str(number).encode() not in arrived]
    assert not lost, f"acknowledged and lost: {lost} of {sent}"


def test_a_slow_disk_delays_acknowledgements_and_nothing_else(site):
    port = site.node.port
    site.power.break_disk(sync_delay_us=700_000)
    with Wire(port, "writer") as writer, Wire(port, "viewer", clean=True) as viewer:
        viewer.subscribe("live/#", 0)
        began = time.monotonic()
        writer.publish("stored/x", b"slow", 1, 1)
        with Wire(port, "talker", clean=True) as talker:
            slowest = 0.0
            for number in range(30):
                sent = time.monotonic()
                talker.publish("live/x", b"x", 0)
                viewer.read(5)
                slowest = max(slowest, time.monotonic() - sent)
        assert slowest < 0.35, f"QoS 0 took {slowest:.2f} s"
        assert writer.read().kind == PUBACK
        assert time.monotonic() - began >= 0.7, "the answer came before the sync ended"


@every_fault
def test_on_a_sick_disk_the_node_starts_later_or_refuses_in_one_line(site, fault):
    with Wire(site.node.port, "writer") as writer:
        writer.publish("stored/x", b"before", 1, 1)
        assert writer.read().kind == PUBACK
    site.node.kill()
    site.power.break_disk(**fault)
    site.node.spawn(site.node.command, site.power.environment)

    def has_decided():
        return not site.node.is_running or "ready" in site.node.log_since_start().splitlines()

    eventually(lambda: f"it starts or ends{site.node.log_tail()}", has_decided)
    if not site.node.is_running:
        assert site.node.process.returncode > 0, f"it crashed{site.node.log_tail()}"
        complaints = [line for line in site.node.log_since_start().splitlines() if "spool" in line]
        assert len(complaints) >= 1 and "Fatal" not in site.node.log_since_start(), site.node.log_tail()
        site.power.heal()
        site.start()
    site.power.heal()
    with Wire(site.node.port, "writer") as writer:
        writer.publish("stored/x", b"after", 1, 2)
        assert writer.read(30).kind == PUBACK
    assert site.waiting(until=b"after") == [b"before", b"after"]

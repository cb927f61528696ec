"""Does what was acknowledged survive kill -9, at whatever moment it comes?"""

import collections
import select
import time

import pytest

from brokers import link_to
from clients import Message, PahoClient, PahoFive
from tracing import SOCKET_WRITES, STORAGE, Strace
from wire import PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Gone, Wire, packet_id_of

both_versions = pytest.mark.parametrize("kind", [PahoClient, PahoFive], ids=["3.1.1", "5"])


# ------------------------------------------------------------------------------------------ what survives, one by one


@both_versions
@pytest.mark.parametrize("presence", ["away", "connected"])
def test_sessions_subscriptions_and_queued_messages_survive(drawbridge, kind, presence):
    with kind(drawbridge, "sleeper", clean=False) as sleeper:
        sleeper.subscribe("one/+", 1)
        sleeper.subscribe("two/#", 2)
        if presence == "away":
            sleeper.close()
            with kind(drawbridge, "writer") as writer:
                for number in range(100):
                    writer.publish("one/x", f"one {number}", 1)
                    writer.publish("two/x", f"two {number}", 2)
        drawbridge.kill()
    drawbridge.restart()
    with kind(drawbridge, "sleeper", clean=False) as sleeper, kind(drawbridge, "writer") as writer:
        sleeper.resume("one/+", 1)
        waiting = 200 if presence == "away" else 0
        writer.publish("one/after", "after", 1)
        writer.publish("two/after", "after", 2)
        messages = sleeper.wait_for(waiting + 2)
        for topic, word, qos in (("one/x", "one", 1), ("two/x", "two", 2)):
            mine = [message for message in messages if message.topic == topic]
            expected = [Message(topic, f"{word} {number}", qos, False) for number in range(waiting // 2)]
            assert mine == expected
        # Between qualities there is no order at the client: QoS 2 is handed to the reader at its PUBREL.
        assert Message("one/after", "after", 1, False) in messages and Message("two/after", "after", 2, False) in messages
        assert len(messages) == waiting + 2
        sleeper.close()


@both_versions
def test_what_was_taken_back_stays_taken_back(drawbridge, kind):
    with kind(drawbridge, "fickle", clean=False) as fickle:
        fickle.subscribe("kept", 1)
        fickle.subscribe("dropped", 1)
        fickle.unsubscribe("dropped")
        fickle.close()
    with kind(drawbridge, "forgotten", clean=False) as forgotten:
        forgotten.subscribe("dropped", 1)
        forgotten.close()
    with kind(drawbridge, "forgotten", clean=True) as forgotten:
        forgotten.close()
    drawbridge.kill()
    drawbridge.restart()
    with kind(drawbridge, "forgotten", clean=False) as forgotten:
        assert not forgotten.session_present
        forgotten.close()
    with kind(drawbridge, "fickle", clean=False) as fickle, kind(drawbridge, "writer") as writer:
        fickle.resume("kept", 1)
        writer.publish("dropped", "not for you", 1)
        writer.publish("kept", "for you", 1)
        assert fickle.wait_for(1) == [Message("kept", "for you", 1, False)]
        fickle.close()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retained_messages_survive_and_cleared_ones_stay_cleared(drawbridge, qos):
    with PahoFive(drawbridge, "writer") as writer:
        for number in range(20):
            writer.publish(f"kept/{number:02}", f"old {number}", qos, retain=True)
        for number in range(0, 20, 2):
            writer.publish(f"kept/{number:02}", f"new {number}", qos, retain=True)
        for number in range(0, 20, 5):
            writer.publish(f"kept/{number:02}", "", qos, retain=True)
        if qos == 0:
            # Nobody is promised that QoS 0 is stored by now; a later acknowledged one comes after it in the same log.
            writer.publish("barrier", "x", 1, retain=True)
    drawbridge.kill()
    drawbridge.restart()
    with PahoFive(drawbridge, "late") as late:
        late.subscribe("kept/#", 2)
        expected = {
            f"kept/{number:02}": f"{'old' if number % 2 else 'new'} {number}" for number in range(20) if number % 5
        }
        messages = late.wait_for(len(expected))
        assert {message.topic: message.payload for message in messages} == expected
        assert all(message.retain for message in messages)


def test_what_was_delivered_and_acknowledged_does_not_come_again_at_qos_2(drawbridge):
    with PahoFive(drawbridge, "reader", clean=False) as reader, PahoFive(drawbridge, "writer") as writer:
        reader.subscribe("once", 2)
        for number in range(50):
            writer.publish("once", str(number), 2)
        reader.wait_for(50)
        reader.close()
    drawbridge.kill()
    drawbridge.restart()
    with PahoFive(drawbridge, "reader", clean=False) as reader, PahoFive(drawbridge, "writer") as writer:
        reader.resume("once", 2)
        writer.publish("once", "after", 2)
        assert reader.wait_for(1) == [Message("once", "after", 2, False)]
        reader.close()


def test_kills_under_load_lose_nothing_that_was_acknowledged(drawbridge):
    """Five lives of a broker, each ended while messages are in flight, over one spool."""
    with Wire(drawbridge.port, "reader", clean=False) as reader:
        reader.subscribe("load", 1)
    acknowledged, sent = set(), 0
    for life in range(5):
        first = sent
        with Wire(drawbridge.port, "writer", clean=True) as writer:
            identifiers = {}
            while len(acknowledged) < (life + 1) * 200:
                if len(identifiers) < 32:
                    packet_id = sent % 65535 + 1
                    identifiers[packet_id] = sent
                    writer.publish("load", str(sent).encode(), 1, packet_id)
                    sent += 1
                elif (packet := writer.read()).kind == PUBACK:
                    acknowledged.add(identifiers.pop(packet_id_of(packet)))
        drawbridge.kill()
        drawbridge.restart()
        assert sent - first >= 200
    arrived = []
    with Wire(drawbridge.port, "reader", clean=False) as reader:
        assert reader.session_present
        while not acknowledged <= set(arrived):
            packet = reader.read()
            if packet.kind == PUBLISH:
                publication = reader.publication(packet)
                arrived.append(int(publication.payload))
                reader.answer(PUBACK, publication.packet_id)
    assert len(arrived) == len(set(arrived)), "nobody was connected, so nothing was delivered twice"
    assert arrived == sorted(arrived)


# ----------------------------------------------------------------------- QoS 2, killed between every two of its steps


class Sender:
    """The publisher of one QoS 2 message at a time, as the standard wants it: it remembers its step over connections."""

    def __init__(self, broker, client_id, version):
        self.broker, self.client_id, self.version = broker, client_id, version
        self.packet_id, self.step = 0, "done"
        self.wire = None

    def connect(self):
        is_first = self.wire is None
        self.wire = Wire(self.broker.port, self.client_id, self.version)
        assert is_first or self.wire.session_present, f"the session of {self.client_id} is lost"
        # [3.1.1, 5: MQTT-4.4.0-1] what was not answered is sent again, with its identifier.
        if self.step == "published":
            self.wire.publish("once", self.payload, 2, self.packet_id, dup=True)
        elif self.step == "released":
            self.wire.answer(PUBREL, self.packet_id)

    def publish(self, payload):
        self.packet_id, self.payload, self.step = self.packet_id % 65535 + 1, payload, "published"
        self.wire.publish("once", payload, 2, self.packet_id)

    def receive(self, packet):
        if packet.kind == PUBREC and self.step == "published":
            assert packet_id_of(packet) == self.packet_id
            self.step = "released"
        if packet.kind == PUBREC:
            self.wire.answer(PUBREL, packet_id_of(packet))
        if packet.kind == PUBCOMP and packet_id_of(packet) == self.packet_id:
            self.step = "done"


class Recipient:
    """The subscriber at QoS 2: it delivers an identifier once until it is released, over connections too."""

    def __init__(self, broker, client_id, version):
        self.broker, self.client_id, self.version = broker, client_id, version
        self.unreleased, self.delivered, self.is_awake = set(), [], True
        self.wire = None

    def connect(self):
        is_first = self.wire is None
        self.wire = Wire(self.broker.port, self.client_id, self.version)
        assert is_first or self.wire.session_present, f"the session of {self.client_id} is lost"

    def receive(self, packet):
        if packet.kind == PUBLISH:
            publication = self.wire.publication(packet)
            if publication.qos == 1:
                self.delivered.append(publication.payload)
                self.wire.answer(PUBACK, publication.packet_id)
                return
            assert publication.qos == 2
            if publication.packet_id not in self.unreleased:
                self.unreleased.add(publication.packet_id)
                self.delivered.append(publication.payload)
            self.wire.answer(PUBREC, publication.packet_id)
        elif packet.kind == PUBREL:
            self.unreleased.discard(packet_id_of(packet))
            self.wire.answer(PUBCOMP, packet_id_of(packet))
        elif packet.kind == PINGRESP:
            self.is_awake = True


def converse(people, until, seconds=30):
    """Lets both answer what comes until all is said; `Gone` when a connection ends before that."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"the conversation stands still: {[vars(person) for person in people]}"
        for person in people:
            while packet := person.wire.next_packet():
                person.receive(packet)
        if until():
            return
        ready, _, _ = select.select([person.wire.socket for person in people], [], [], 0.2)
        for person in people:
            if person.wire.socket in ready:
                person.wire.fill(1)


class Rehearsal:
    """One QoS 2 conversation, again and again, with a broker that dies in it."""

    def __init__(self, node, sender, recipient, folder):
        self.node, self.sender, self.recipient, self.folder = node, sender, recipient, folder
        self.people = [sender, recipient]
        self.number = 0
        self.killed = collections.defaultdict(list)

    def is_over(self):
        is_told = self.payload in self.recipient.delivered and not self.recipient.unreleased
        return is_told and self.sender.step == "done"

    def begin(self):
        self.number += 1
        self.payload = f"message {self.number}".encode()
        self.sender.publish(self.payload)

    def play(self):
        """From PUBLISH to the last PUBCOMP, and a ping behind it, so that the broker has read that PUBCOMP too."""
        self.begin()
        converse(self.people, self.is_over)
        self.recipient.is_awake = False
        self.recipient.wire.send(PINGREQ)
        converse(self.people, lambda: self.recipient.is_awake)

    def check(self):
        """Nothing of this message comes any more, since what is sent after it arrived, and it came once."""
        barrier = f"barrier {self.number}".encode()
        with Wire(self.node.port, "barrier", clean=True) as wire:
            wire.publish("once", barrier, 1, 1)
            assert wire.read().kind == PUBACK
        converse(self.people, lambda: barrier in self.recipient.delivered)
        count = self.recipient.delivered.count(self.payload)
        assert count == 1, f"{self.payload} came {count} times; the kills were {dict(self.killed)}"
        self.recipient.delivered.clear()

    def calls_by_thread(self):
        """One undisturbed conversation: how often each thread makes each call. Its threads get the names of their work,
        since numbers change with each start: `storage 1` touches the disk, `other 1` does not."""
        with Strace(self.node.pid, [*SOCKET_WRITES, *STORAGE], self.folder) as strace:
            self.play()
        self.check()
        calls = strace.calls()
        disk = {call.thread for call in calls if call.name in STORAGE}
        self.threads = {}
        for call in calls:
            if call.thread not in self.threads.values():
                kind = "storage" if call.thread in disk else "other"
                number = sum(name.startswith(kind) for name in self.threads) + 1
                self.threads[f"{kind} {number}"] = call.thread
        names = {thread: name for name, thread in self.threads.items()}
        return collections.Counter((names[call.thread], call.name) for call in calls)

    def play_with_kill(self, thread_name, call, at):
        """One conversation that dies at that call, and is brought to its end; False when the call was not reached."""
        with Strace(self.node.pid, [call], self.folder, thread=self.threads[thread_name], kill_at=at) as strace:
            try:
                self.play()
            except Gone:
                self.node.process.wait(10)
        if not strace.has_killed:
            try:
                self.check()
                return False
            except (Gone, ConnectionError):
                pass  # It was hit all the same, behind the conversation: strace had no time to write it down.
        self.node.process.wait(10)
        self.killed[(thread_name, call)].append(at)
        self.node.restart()
        for person in self.people:
            if person.broker is self.node:
                person.connect()
        converse(self.people, self.is_over)
        self.check()
        self.calls_by_thread()  # which thread is which in this life
        return True


@pytest.mark.parametrize("way", ["through the broker", "over a link"])
def test_qos_2_arrives_once_when_the_process_dies_between_any_two_steps(brokers, way, tmp_path, record_property, capsys):
    # With one loop: which of several does a step is different every time.
    if way == "over a link":
        hub = brokers.mosquitto("hub").start()
        node = brokers.drawbridge("a", links=link_to(hub.port, filter="once"), event_loops=1).start()
        node.wait_for_link()
    else:
        hub = node = brokers.drawbridge("a", event_loops=1).start()
    sender, recipient = Sender(node, "sender", 4), Recipient(hub, "recipient", 5)
    sender.connect()
    recipient.connect()
    recipient.wire.subscribe("once", 2)

    rehearsal = Rehearsal(node, sender, recipient, tmp_path)
    rehearsal.play()
    rehearsal.check()
    steps = rehearsal.calls_by_thread()
    assert sum(count for (_, call), count in steps.items() if call in SOCKET_WRITES) >= 4, steps
    assert sum(count for (_, call), count in steps.items() if call == "fdatasync") >= 2, steps

    # First what decides, the answers and the commits; pages within a transaction have the rest of the time.
    order = [*SOCKET_WRITES, "fdatasync", "fsync", "pwrite64"]
    deadline = time.monotonic() + 200
    for (thread, call), count in sorted(steps.items(), key=lambda step: order.index(step[0][1])):
        # Long rows of pages are walked with seven-league boots, but from the first to the last.
        stride = 1 if call != "pwrite64" else max(1, count // 20)
        at = 1
        while time.monotonic() < deadline and rehearsal.play_with_kill(thread, call, at):
            at += stride
    with capsys.disabled():
        print(f"\nQoS 2 {way}, steps of an undisturbed conversation and the calls at which it was killed:")
        for step, count in sorted(steps.items()):
            print(f"  {step[0]:20} {step[1]:10} {count:3} calls, killed at {rehearsal.killed[step]}")
    for step in steps:
        assert rehearsal.killed[step], f"{step} was never hit"
        is_whole = rehearsal.killed[step] == list(range(1, len(rehearsal.killed[step]) + 1))
        assert step[1] == "pwrite64" or is_whole, f"{step}: {rehearsal.killed[step]}"

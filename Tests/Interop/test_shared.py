"""Shared subscriptions with the clients that people have: is each message one member's, whatever happens to it?"""

import collections
import json
import subprocess

import pytest

from brokers import drawbridge_binary
from clients import KINDS, MosquittoClient, MosquittoFive, PahoClient, PahoFive
from eventually import eventually

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def texts(*members):
    return sorted(int(message.payload) for member in members for message in member.messages)


class Forgetful(PahoFive):
    """Takes messages and acknowledges none of them."""

    def connect(self):
        super().connect()
        self.client.manual_ack_set(True)


class ForgetfulThree(PahoClient):
    def connect(self):
        super().connect()
        self.client.manual_ack_set(True)


@every_kind
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member(broker, kind, qos):
    with kind(broker, "one") as one, kind(broker, "two") as two, PahoFive(broker, "writer") as writer:
        one.subscribe("$share/workers/jobs/#", qos)
        two.subscribe("$share/workers/jobs/#", qos)
        for number in range(20):
            writer.publish("jobs/x", str(number), qos)
        eventually(lambda: f"20 came: {texts(one, two)}", lambda: len(texts(one, two)) >= 20)
        assert texts(one, two) == list(range(20))
        assert one.messages and two.messages
        assert all(message.qos == qos for message in one.messages + two.messages)


def test_members_of_all_versions_form_one_group_and_others_get_their_own_copies(broker):
    kinds = [MosquittoClient, MosquittoFive, PahoClient, PahoFive]
    members = [kind(broker, f"member-{index}") for index, kind in enumerate(kinds)]
    with PahoFive(broker, "writer") as writer, PahoFive(broker, "other group") as other, PahoClient(broker, "reader") as reader:
        for member in members:
            member.subscribe("$share/g/t", 1)
        other.subscribe("$share/h/t", 1)
        reader.subscribe("t", 1)
        for number in range(40):
            writer.publish("t", str(number), 1)
        eventually(lambda: f"40 came: {texts(*members)}", lambda: len(texts(*members)) >= 40)
        other.wait_for(40)
        reader.wait_for(40)
        assert texts(*members) == texts(other) == texts(reader) == list(range(40))
        assert all_have_some(members)
    for member in members:
        member.vanish()


def all_have_some(members):
    return min(len(member.messages) for member in members) > 0


@pytest.mark.parametrize("kind", [Forgetful, ForgetfulThree], ids=["5", "3.1.1"])
def test_what_a_dead_member_had_goes_to_another(broker, kind):
    with kind(broker, "forgetful") as forgetful, PahoFive(broker, "diligent") as diligent:
        forgetful.subscribe("$share/g/t", 1)
        diligent.subscribe("$share/g/t", 1)
        with PahoFive(broker, "writer") as writer:
            for number in range(20):
                writer.publish("t", str(number), 1)
        eventually("both have some", lambda: len(texts(forgetful, diligent)) == 20)
        assert len(forgetful.messages) == 10
        forgetful.vanish()
        diligent.wait_for(20)
        assert texts(diligent) == list(range(20))


def test_a_group_keeps_messages_while_nobody_is_there_and_over_kill_9(drawbridge):
    with PahoFive(drawbridge, "worker", clean=False) as worker:
        worker.subscribe("$share/g/t", 2)
        worker.close()
    with PahoFive(drawbridge, "writer") as writer:
        for number in range(30):
            writer.publish("t", str(number), 1 + number % 2)
    shown = group(drawbridge, "$share/g/t")
    assert (shown["kind"], shown["depth"], shown["connected"]) == ("group", 30, False)
    drawbridge.kill()
    drawbridge.restart()
    assert group(drawbridge, "$share/g/t")["depth"] == 30
    # Somebody else may take it: whoever comes first, of whatever version.
    with PahoClient(drawbridge, "helper") as helper:
        helper.subscribe("$share/g/t", 2)
        helper.wait_for(30)
        seen = [int(message.payload) for message in helper.messages]
        # In order for each QoS: what QoS 2 has to remember is on disk before it is sent.
        assert [number for number in seen if number % 2 == 0] == list(range(0, 30, 2))
        assert [number for number in seen if number % 2 == 1] == list(range(1, 30, 2))
        eventually("the queue is empty", lambda: group(drawbridge, "$share/g/t")["depth"] == 0)
        ledger = group(drawbridge, "$share/g/t")["ledger"]
        assert ledger["restored"] + ledger["taken"] == ledger["delivered"] == 30


def test_exactly_once_over_the_death_of_the_broker(drawbridge):
    members = [PahoFive(drawbridge, f"worker-{index}", clean=False) for index in range(3)]
    for member in members:
        member.subscribe("$share/g/t", 2)
    with PahoFive(drawbridge, "writer", clean=False) as writer:
        for number in range(30):
            writer.publish("t", str(number), 2)
        drawbridge.kill()
        drawbridge.restart()
        # paho comes back by itself, with what it had.
        clients = members + [writer]
        eventually("all are back", lambda: all(client.client.is_connected() for client in clients))
        for number in range(30, 60):
            writer.publish("t", str(number), 2)
        eventually(lambda: f"60 came: {texts(*members)}", lambda: len(set(texts(*members))) == 60, 60)
        assert texts(*members) == list(range(60))
    for member in members:
        member.vanish()


def test_what_one_publisher_says_stays_with_one_member_where_that_is_configured(brokers):
    broker = brokers.drawbridge(more='[shared_subscriptions]\norder = "publisher"').start()
    members = [PahoFive(broker, f"member-{index}") for index in range(3)]
    for member in members:
        member.subscribe("$share/g/t", 1)
    writers = [PahoClient(broker, f"writer-{index}") for index in range(8)]
    for number in range(10):
        for index, writer in enumerate(writers):
            writer.publish("t", str(100 * index + number), 1)
    eventually("all came", lambda: len(texts(*members)) == 80)
    homes = collections.defaultdict(set)
    for place, member in enumerate(members):
        seen = [int(message.payload) for message in member.messages]
        for number in seen:
            homes[number // 100].add(place)
        for index in range(8):
            mine = [number for number in seen if number // 100 == index]
            assert mine == sorted(mine)
    assert all(len(places) == 1 for places in homes.values())
    for client in members + writers:
        client.vanish()


def group(node, filter):
    command = [drawbridge_binary(), "ctl", "spool", "--data", node.data, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    shown = [receiver for receiver in json.loads(result.stdout)["receivers"] if receiver["name"] == filter]
    assert shown, result.stdout
    return shown[0]

"""Do the clients that people have work, each with what it is used for: QoS 0, 1 and 2, retained messages, wills, sessions?"""

import contextlib

import pytest

from certificates import Certificates, Doors
from clients import EVERY_KIND, KINDS, Message, PahoFive, Will

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


@every_kind
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_published_arrives_once_and_in_order(broker, kind, qos):
    # Over TCP and WebSocket [5:MQTT-4.2.0-1] [311:MQTT-7.1.1-1], with the clients of others as they are, without any
    # extension [311:MQTT-7.0.0-2].
    with kind(broker, "reader") as reader, kind(broker, "writer") as writer:
        reader.subscribe("room/+", qos)
        for number in range(10):
            writer.publish("room/1", f"message {number}", qos)
        writer.publish("room/2", "the end", qos)
        expected = [Message("room/1", f"message {number}", qos, False) for number in range(10)]
        assert reader.wait_for(11) == expected + [Message("room/2", "the end", qos, False)]
        reader.close()


@every_kind
def test_the_quality_of_a_delivery_is_the_lesser_of_both(broker, kind):
    with kind(broker, "reader") as reader, kind(broker, "writer") as writer:
        reader.subscribe("room", 1)
        for qos in [0, 1, 2]:
            writer.publish("room", f"hello {qos}", qos)
            assert reader.wait_for(qos + 1)[qos] == Message("room", f"hello {qos}", min(qos, 1), False)


@every_kind
def test_a_retained_message_meets_who_subscribes_later_until_it_is_cleared(broker, kind):
    with kind(broker, "writer") as writer:
        writer.publish("lamp/1", "on", 1, retain=True)
        writer.publish("lamp/2", "off", 1, retain=True)
        writer.publish("lamp/1", "dim", 1, retain=True)
        with kind(broker, "early") as reader:
            reader.subscribe("lamp/#", 1)
            messages = sorted(reader.wait_for(2))
            assert messages == [Message("lamp/1", "dim", 1, True), Message("lamp/2", "off", 1, True)]
            # Who is there already gets it as a message of today, without the mark.
            writer.publish("lamp/2", "on", 1, retain=True)
            assert reader.wait_for(3)[2] == Message("lamp/2", "on", 1, False)
        with PahoFive(broker, "eraser") as eraser:
            eraser.publish("lamp/1", "", 1, retain=True)
        with kind(broker, "late") as reader:
            reader.subscribe("lamp/#", 1)
            assert reader.wait_for(1) == [Message("lamp/2", "on", 1, True)]


@every_kind
def test_a_will_speaks_for_who_vanished_and_not_for_who_took_leave(broker, kind):
    with PahoFive(broker, "heir") as heir:
        heir.subscribe("will/#", 1)
        if kind.leaves_without_will:
            with kind(broker, "polite", will=Will("will/polite", "never heard", 1, False)) as polite:
                polite.subscribe("any", 0)
                polite.close()
        with kind(broker, "mortal", will=Will("will/mortal", "farewell", 1, True)) as mortal:
            mortal.subscribe("any", 0)
            mortal.vanish()
        assert heir.wait_for(1) == [Message("will/mortal", "farewell", 1, False)]
        with PahoFive(broker, "late heir") as late:
            late.subscribe("will/#", 1)
            assert late.wait_for(1) == [Message("will/mortal", "farewell", 1, True)]


@every_kind
@pytest.mark.parametrize("qos", [1, 2])
def test_a_session_keeps_what_came_while_its_client_was_away(broker, kind, qos):
    with kind(broker, "sleeper", clean=False) as sleeper:
        sleeper.subscribe("news/#", qos)
        sleeper.close()
    with kind(broker, "writer") as writer:
        for number in range(10):
            writer.publish("news/today", f"line {number}", qos)
    with kind(broker, "sleeper", clean=False) as sleeper:
        sleeper.resume("news/#", qos)
        assert sleeper.wait_for(10) == [Message("news/today", f"line {number}", qos, False) for number in range(10)]
        sleeper.close()
    # A clean start forgets all of it.
    with kind(broker, "sleeper", clean=True) as sleeper, kind(broker, "writer") as writer:
        sleeper.subscribe("other", qos)
        writer.publish("news/today", "for nobody", qos)
        writer.publish("other", "for you", qos)
        assert sleeper.wait_for(1) == [Message("other", "for you", qos, False)]


@pytest.fixture
def doors(request, brokers, tmp_path):
    """Every way into one broker: plain, and through TLS; each a TCP and a WebSocket door."""
    if request.config.getoption("--against") == "mosquitto":
        pytest.skip("its TLS doors are not ours to test")
    certificates = Certificates(tmp_path / "tls")
    every = Doors(brokers, certificates).start()
    return {"plain": every.node, "TLS": every.secure}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_client_comes_in_by_every_door(doors, name):
    for door, broker in doors.items():
        if door == "plain" and name in KINDS:
            continue  # has all the tests above
        room = f"door/{door}"
        with EVERY_KIND[name](broker, "one", will=Will(f"{room}/will", "gone", 1, False)) as client:
            client.subscribe(f"{room}/#", 2)
            for qos in [0, 1, 2]:
                client.publish(f"{room}/1", f"über {qos}", qos, retain=qos == 2)
            expected = [Message(f"{room}/1", f"über {qos}", qos, False) for qos in [0, 1, 2]]
            assert client.wait_for(3) == expected
            with EVERY_KIND[name](broker, "two") as second:
                second.subscribe(f"{room}/#", 1)
                assert second.wait_for(1) == [Message(f"{room}/1", "über 2", 1, True)]
                client.vanish()
                assert second.wait_for(2)[1] == Message(f"{room}/will", "gone", 1, False)


def test_every_client_understands_every_other(doors):
    """Versions, transports and doors meet in one room: what one says at QoS 2, everybody hears once."""
    with contextlib.ExitStack() as room:
        people = []
        for door, broker in doors.items():
            for name, kind in EVERY_KIND.items():
                person = room.enter_context(kind(broker, f"{name}, {door}"))
                person.subscribe("room/#", 2)
                people.append(person)
        said = [Message(f"room/{number}", f"grüße, 世界, {number}", 2, False) for number in range(len(people))]
        for person, message in zip(people, said):
            person.publish(message.topic, message.payload, 2)
        for person in people:
            assert person.wait_for(len(said)) == said, person.client_id

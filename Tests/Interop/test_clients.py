"""Do the clients that people have work, each with what it is used for: QoS 0, 1 and 2, retained messages, wills, sessions?"""

import pytest

from clients import KINDS, Message, PahoFive, Will

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
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_quality_of_a_delivery_is_the_lesser_of_both(broker, kind, qos):
    with kind(broker, "reader") as reader, kind(broker, "writer") as writer:
        reader.subscribe("room", 1)
        writer.publish("room", "hello", qos)
        assert reader.wait_for(1) == [Message("room", "hello", min(qos, 1), False)]


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
        for number in range(20):
            writer.publish("news/today", f"line {number}", qos)
    with kind(broker, "sleeper", clean=False) as sleeper:
        sleeper.resume("news/#", qos)
        assert sleeper.wait_for(20) == [Message("news/today", f"line {number}", qos, False) for number in range(20)]
        sleeper.close()
    # A clean start forgets all of it.
    with kind(broker, "sleeper", clean=True) as sleeper, kind(broker, "writer") as writer:
        sleeper.subscribe("other", qos)
        writer.publish("news/today", "for nobody", qos)
        writer.publish("other", "for you", qos)
        assert sleeper.wait_for(1) == [Message("other", "for you", qos, False)]


@every_kind
@pytest.mark.parametrize("other", KINDS.values(), ids=KINDS.keys())
def test_every_client_understands_every_other(broker, kind, other):
    """Versions and transports meet in one room: what one says at QoS 2, the other hears once."""
    with kind(broker, "reader") as reader, other(broker, "writer") as writer:
        reader.subscribe("room/#", 2)
        writer.publish("room/1", "grüße, 世界", 2)
        assert reader.wait_for(1) == [Message("room/1", "grüße, 世界", 2, False)]

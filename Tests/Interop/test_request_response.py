"""Do requests of MQTT 5 and their answers find their way over several links, with all that comes along?"""

import time

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from brokers import link_to
from clients import PahoFive
from eventually import eventually


class Party(PahoFive):
    """Sends and keeps whole messages, properties included."""

    def connect(self):
        self.whole = []
        super().connect()
        self.client.on_message = lambda client, data, message: self.whole.append(message)

    def asks(self, topic, payload, qos=1, **properties):
        wanted = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(wanted, name, value)
        self.client.publish(topic, payload, qos, properties=wanted).wait_for_publish(15)

    def hears(self, count):
        eventually(lambda: f"{self.client_id} heard {count} messages: {self.whole}", lambda: len(self.whole) >= count)
        assert len(self.whole) == count, self.whole
        return self.whole


def chain(brokers):
    """near -> middle -> far; what is `ask/x` at near is `site/near/ask/x` in the middle, with `region/` before it at
    far, and the answers come back the other way."""
    far = brokers.drawbridge("far").start()
    up = link_to(far.port, name="far").split("[[link.both]]")[0]
    middle = brokers.drawbridge(
        "middle", links=f'{up}[[link.both]]\nfilter = "site/#"\nremote_prefix = "region/"\n'
    ).start()
    up = link_to(middle.port, name="middle").split("[[link.both]]")[0]
    near = brokers.drawbridge(
        "near",
        links=f"""{up}
[[link.out]]
filter = "+/#"
exclude = ["local/#"]
to = "site/near/{{1}}/{{#}}"
user_properties = {{ site = "near" }}
[[link.in]]
filter = "site/near/for/+/#"
to = "{{1}}/{{#}}"
""",
    ).start()
    near.wait_for_link("middle")
    middle.wait_for_link("far")
    return near, middle, far


def test_a_request_and_its_answer_cross_three_brokers_both_ways(brokers):
    near, middle, far = chain(brokers)
    with Party(near, "edge") as edge, Party(far, "head-office") as office:
        edge.subscribe("answers/#", 1)
        edge.subscribe("commands/#", 1)
        office.subscribe("region/+/+/ask/#", 1)
        office.subscribe("region/+/+/done/#", 1)
        edge.asks(
            "ask/time",
            "when?",
            ResponseTopic="answers/7",
            CorrelationData=b"\x00\x01",
            ContentType="text/plain",
            PayloadFormatIndicator=1,
            UserProperty=[("own", "1"), ("own", "2")],
        )
        (asked,) = office.hears(1)
        assert (asked.topic, asked.payload) == ("region/site/near/ask/time", b"when?")
        assert asked.properties.ResponseTopic == "region/site/near/for/answers/7"
        assert asked.properties.CorrelationData == b"\x00\x01"
        assert asked.properties.ContentType == "text/plain" and asked.properties.PayloadFormatIndicator == 1
        assert asked.properties.UserProperty == [("own", "1"), ("own", "2"), ("site", "near")]
        office.asks(asked.properties.ResponseTopic, "now", CorrelationData=asked.properties.CorrelationData)
        (answer,) = edge.hears(1)
        assert (answer.topic, answer.payload, answer.properties.CorrelationData) == ("answers/7", b"now", b"\x00\x01")

        office.asks("region/site/near/for/commands/open", "please", ResponseTopic="region/site/near/done/9")
        _, command = edge.hears(2)
        assert (command.topic, command.properties.ResponseTopic) == ("commands/open", "done/9")
        edge.asks(command.properties.ResponseTopic, "opened")
        assert [(m.topic, m.payload) for m in office.hears(2)[1:]] == [("region/site/near/done/9", b"opened")]

        # What is excluded stays, and is kept for nobody.
        edge.asks("local/x", "stays")
        edge.asks("ask/end", "last")
        assert office.hears(3)[2].payload == b"last"


def test_what_is_left_of_the_time_of_a_message_is_what_it_did_not_wait(brokers):
    near, middle, far = chain(brokers)
    with Party(far, "head-office") as office:
        office.subscribe("region/#", 1)
        middle.kill()
        with Party(near, "edge") as edge:
            edge.asks("ask/long", "long", MessageExpiryInterval=1000)
            edge.asks("ask/short", "short", MessageExpiryInterval=1)
            sent = time.monotonic()
        eventually("the short one is over", lambda: time.monotonic() > sent + 2.5)
        middle.restart()
        near.wait_for_link("middle")
        (message,) = office.hears(1)
        assert message.payload == b"long" and 900 < message.properties.MessageExpiryInterval <= 998

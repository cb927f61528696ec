"""What all clients of others have in common, so that one test speaks to each of them.

A client connects when it is made, or, for the mosquitto programs, when it first has something to do. `messages` holds
what it received; `close` says DISCONNECT; `vanish` cuts the line without a word, so that a will is due.
"""

import collections

from eventually import eventually

Message = collections.namedtuple("Message", "topic payload qos retain")
Will = collections.namedtuple("Will", "topic payload qos retain")


class Client:
    leaves_without_will = True
    transport = "tcp"  # or "websockets"; whether TLS is below it is a matter of the broker's keys

    def __init__(self, broker, client_id, clean=True, will=None):
        self.broker, self.client_id, self.clean, self.will = broker, client_id, clean, will
        self.messages = []
        self.connect()

    @property
    def port(self):
        return self.broker.web_port if self.transport == "websockets" else self.broker.port

    def url(self, tcp, websockets):
        """The address of the broker with these schemes; each has an "s" more through TLS."""
        secure = "s" if self.broker.keys.authority else ""
        is_web = self.transport == "websockets"
        return f"{websockets if is_web else tcp}{secure}://127.0.0.1:{self.port}{'/mqtt' if is_web else ''}"

    def wait_for(self, count, seconds=20):
        """The messages, once there are `count` of them."""
        eventually(
            lambda: f"{self.client_id} received {count} messages; it has {self.messages}",
            lambda: len(self.messages) >= count,
            seconds,
        )
        return list(self.messages)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.vanish()

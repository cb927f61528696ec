"""gmqtt, a client in pure Python on asyncio that shares no code with Paho; its loop runs on a thread of its own."""

import asyncio
import threading

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from client import Client, Message
from eventually import eventually


class GmqttClient(Client):
    version = MQTTv311

    def connect(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._run(self._connect())

    async def _connect(self):
        properties = {"session_expiry_interval": 3600} if self.version == MQTTv50 and not self.clean else {}
        will = gmqtt.Message(*self.will) if self.will else None
        self.client = gmqtt.Client(self.client_id, clean_session=self.clean, will_message=will, **properties)
        self.client.set_config({"reconnect_retries": 0})
        self.granted = {}
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda client, mid, codes, properties: self.granted.update({mid: codes})
        context = self.broker.keys.context or False
        await self.client.connect("127.0.0.1", self.port, ssl=context, version=self.version)

    def _on_connect(self, client, flags, code, properties):
        assert code == 0, f"CONNECT refused: {code}"
        self.session_present = bool(flags & 1)

    def _on_message(self, client, topic, payload, qos, properties):
        self.messages.append(Message(topic, payload.decode(), qos, bool(properties["retain"])))
        return 0  # the reason code of its answer

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def _call(self, function, *arguments):
        return function(*arguments)

    async def _cancel_all(self):
        """What its loop still does would be complained about when the loop goes."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def subscribe(self, filter, qos):
        mid = self._run(self._call(self.client.subscribe, filter, qos))
        eventually("SUBACK arrives", lambda: mid in self.granted)
        assert tuple(self.granted[mid]) == (qos,)

    def resume(self, filter, qos):
        assert self.session_present, "the session was forgotten"

    def publish(self, topic, payload, qos, retain=False):
        self._run(self._call(self.client.publish, topic, payload, qos, retain))
        # It forgets a message when PUBACK or PUBCOMP is here.
        eventually(f"QoS {qos} is acknowledged", lambda: self.client._persistent_storage.is_empty)

    def _end(self):
        self._run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def close(self):
        self._run(self.client.disconnect())
        self._end()

    def vanish(self):
        if self.thread.is_alive():
            self.client._is_active = False  # or it would come back by itself
            self._run(self._call(self.client._connection._transport.abort))
            self._end()


class GmqttFive(GmqttClient):
    version = MQTTv50

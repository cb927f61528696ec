"""Publishers that do not give up: each numbers its messages and repeats what was not acknowledged.

They stand for what people really have: a script around mosquitto_pub, a Python program with paho, a shell loop around
curl. `acknowledged` counts what the broker took over, and is all that it has to answer for.
"""

import subprocess
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from brokers import program


class Publisher(threading.Thread):
    """Sends `name-qos-0000 ...` to a topic in a thread of its own, a few ahead of their acknowledgements."""

    ahead = 10

    def __init__(self, node, topic, name, qos, count):
        super().__init__(daemon=True, name=f"{name}-{qos}")
        self.node, self.topic, self.qos, self.count = node, topic, qos, count
        self.payloads = [f"{name}-{qos}-{number:04}" for number in range(count)]
        self.acknowledged = 0
        self.second_half = threading.Event()
        self.error = None

    def in_two_halves(self):
        """The payloads; before the second half it waits for `second_half`, so that a test knows where everybody is."""
        for number, payload in enumerate(self.payloads):
            if number == self.count // 2:
                assert self.second_half.wait(120), f"{self}: nobody opens the second half"
            yield payload

    def run(self):
        try:
            self.publish_all()
        except Exception as error:  # a thread has nobody above it; the test asks
            self.error = error

    def has(self, count):
        """Whether that many are acknowledged; raises what went wrong in the thread."""
        if self.error:
            raise self.error
        return self.acknowledged >= count

    def __repr__(self):
        return f"{self.name}: {self.acknowledged} of {self.count}"


class MosquittoPublisher(Publisher):
    """mosquitto_pub reading lines, with a session that it keeps: it reconnects and resends by itself."""

    def publish_all(self):
        command = ["stdbuf", "-oL", program("mosquitto_pub"), "-d", "-l", "-c", "-i", self.name]
        command += ["-p", str(self.node.port), "-t", self.topic, "-q", str(self.qos), *self.node.keys.mosquitto]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        last_word = "received PUBACK" if self.qos == 1 else "received PUBCOMP"
        room = threading.Semaphore(self.ahead)
        output = []

        def read():
            for line in process.stdout:
                output.append(line)
                if last_word in line:
                    self.acknowledged += 1
                    room.release()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for payload in self.in_two_halves():
            assert room.acquire(timeout=120), f"{self}: no acknowledgement for two minutes: {output[-5:]}"
            process.stdin.write(payload + "\n")
            process.stdin.flush()
        process.stdin.close()
        process.wait(120)
        reader.join(10)
        assert process.returncode == 0, f"mosquitto_pub ends with {process.returncode}: {output[-5:]}"


class PahoPublisher(Publisher):
    """paho with a session that it keeps; its thread reconnects and resends."""

    def publish_all(self):
        client = paho.Client(CallbackAPIVersion.VERSION2, self.name, clean_session=False)
        client.max_inflight_messages_set(self.ahead)
        client.reconnect_delay_set(0.2, 1)
        room = threading.Semaphore(self.ahead)

        def on_publish(client, data, mid, reason, properties):
            self.acknowledged += 1
            room.release()

        client.on_publish = on_publish
        self.node.keys.paho(client)
        client.connect("127.0.0.1", self.node.port)
        client.loop_start()
        for payload in self.in_two_halves():
            assert room.acquire(timeout=120), f"{self}: no acknowledgement for two minutes"
            client.publish(self.topic, payload, self.qos)
        deadline = time.monotonic() + 120
        while self.acknowledged < self.count:
            assert time.monotonic() < deadline, f"{self}: no acknowledgement for two minutes"
            time.sleep(0.02)
        client.disconnect()
        client.loop_stop()


class CurlPublisher(Publisher):
    """A loop around curl: what does not end with 200 is posted again."""

    def publish_all(self):
        url = f"{self.node.web}/v1/publish/{self.topic}?qos={self.qos}"
        command = [program("curl"), "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", *self.node.keys.curl]
        deadline = time.monotonic() + 180
        for payload in self.in_two_halves():
            while True:
                result = subprocess.run([*command, "--data-binary", payload, url], capture_output=True, text=True)
                if result.returncode == 0 and result.stdout == "200":
                    break
                assert time.monotonic() < deadline, f"{self}: {result.stdout} {result.stderr}"
                time.sleep(0.1)
            self.acknowledged += 1

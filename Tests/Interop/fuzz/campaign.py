"""The whole server under strange clients: does it live, and do those who behave notice nothing?

    campaign.py --minutes 10 --seed 7

A round is a script that its number and the seed decide: several connections, over TCP, WebSocket and HTTP, at listeners
of each kind, that send valid packets, mutated ones, and packets cut and joined at will, interleaved, with client ids,
topics and retained messages in common. After each round canaries talk, which have been connected since the beginning.
What one round leaves behind, the next ones meet, so a finding is repeated with `--seed S --rounds N`, and mostly with
`--first N --rounds 1` as well.

At the end the node stops in order, starts again with what it had stored, and the canaries talk once more.
"""

import argparse
import collections
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brokers import Drawbridge, free_port  # noqa: E402
from fuzz.mutations import mutate_bytes, mutate_packet  # noqa: E402
from fuzz.packets import Packets  # noqa: E402
from fuzz.peers import PROXY_HEADER, UPGRADE, UPGRADE_TO_DEFLATE, Canaries, Stranger, compressed, frame  # noqa: E402
from wire import CONNACK, PUBLISH, Gone  # noqa: E402

# Everything that strangers can fill has a bound here, so that memory must have one.
BOUNDS = """
[limits]
max_packet = "128KiB"
session_expiry = "10s"
connect_timeout = "2s"
write_buffer = "64KiB"
[queue]
max_messages = 200
max_bytes = "1MiB"
[retained]
max_messages = 500
[log]
level = "warning"
"""
# Beside the two that every node of these tests has.
LISTENERS = """
[[listener]]
name = "mux"
type = "mux"
bind = ["127.0.0.1:{mux}"]
serve = ["mqtt", "web"]
[[listener]]
name = "packed"
type = "web"
bind = ["127.0.0.1:{packed}"]
deflate = {{ enabled = true, max_inflated = "64KiB" }}
[[listener]]
name = "proxied"
type = "mqtt"
bind = ["127.0.0.1:{proxied}"]
proxy_protocol = "any"
"""
# How strangers come in: how often, and at which listener.
DOORS = {
    "tcp": (8, "mqtt"),
    "web": (4, "web"),
    "http": (1, "web"),
    "noise": (1, "web"),
    "packed": (3, "packed"),
    "proxied": (1, "proxied"),
    "mux, tcp": (1, "mux"),
    "mux, web": (1, "mux"),
    "mux, noise": (1, "mux"),
}
# Mostly a binary frame; then parts of one, text, close, ping, pong, and one that says it is compressed.
FRAME_STARTS = [0x82] * 30 + [0x02, 0x80, 0x81, 0x88, 0x89, 0x8A, 0xC2]
WEB_DOORS = ("web", "packed", "mux, web")
MEMORY_MAX = 500_000_000
REQUEST = b"POST /v1/publish/a/b?qos=1&retain=true HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello"


class Finding(Exception):
    pass


def script(seed, number):
    """The steps of a round: (connection, what, bytes)."""
    dice = random.Random(f"{seed} {number}")
    lines = [list(connection(dice)) for _ in range(dice.randint(3, 8))]
    steps = []
    while any(lines):
        index = dice.choice([index for index, line in enumerate(lines) if line])
        steps.append((index, *lines[index].pop(0)))
    return steps


def connection(dice):
    """What one connection does. Some send wild things, some few, some none."""
    door = dice.choices(list(DOORS), [weight for weight, _ in DOORS.values()])[0]
    yield "come", door.encode()
    if door == "http":
        request = mutate_bytes(dice, REQUEST) if dice.random() < 0.8 else REQUEST
        for _ in range(dice.randint(1, 3)):
            yield from pieces(dice, request)
        yield ending(dice), b""
        return
    if door.endswith("noise"):
        yield from pieces(dice, dice.randbytes(dice.choice([1, 10, 1000])))
        yield ending(dice), b""
        return
    is_web = door in WEB_DOORS
    opening = {"packed": UPGRADE_TO_DEFLATE, "proxied": PROXY_HEADER}.get(door, UPGRADE if is_web else b"")
    if opening:
        yield from pieces(dice, opening if dice.random() < 0.9 else mutate_bytes(dice, opening))
    wildness = dice.choice([0, 0.05, 0.3, 0.9])
    packets = Packets(dice, dice.choice([3, 4, 4, 5, 5, 5]))
    said = [packets.connect() if dice.random() < 0.97 else packets.one()]
    said += [packets.one() for _ in range(dice.randint(0, 40))]
    for index, packet in enumerate(said):
        if dice.random() < (wildness if index else wildness / 3):
            packet = mutate_packet(dice, packet, dice.choice(said))
        if door == "packed" and dice.random() < 0.7:
            small = compressed(packet)
            if dice.random() < wildness / 3:
                small = mutate_bytes(dice, small)
            packet = frame(small, dice.randbytes(4), 0xC2)
        elif is_web:
            packet = frame(packet, dice.randbytes(4), dice.choice(FRAME_STARTS))
        if is_web and dice.random() < wildness / 10:
            packet = mutate_bytes(dice, packet)
        yield from pieces(dice, packet)
        if dice.random() < 0.3:
            yield "listen", b""
    yield ending(dice), b""


def pieces(dice, data):
    while len(data) > 1 and dice.random() < 0.2:
        cut = dice.randrange(1, len(data))
        yield "say", data[:cut]
        data = data[cut:]
    yield "say", data


def ending(dice):
    return dice.choice(["leave", "leave", "reset", "hush", "stay"])


class Campaign:
    def __init__(self, folder, seed, say=print):
        self.seed, self.say = seed, say
        self.ports = {name: free_port() for name in ("mux", "packed", "proxied")}
        self.node = Drawbridge(folder, "node", more=BOUNDS, links=LISTENERS.format(**self.ports))
        self.ports |= {"mqtt": self.node.port, "web": self.node.web_port}
        self.most_memory = 0
        self.heard = collections.Counter()

    def run(self, seconds, first=1, rounds=None):
        """Returns how many rounds there were; raises Finding."""
        self.node.start(60)
        canaries = Canaries(self.node.port)
        ends, number = time.monotonic() + seconds, first
        told = time.monotonic()
        lingering = []
        try:
            while (number < first + rounds) if rounds else time.monotonic() < ends:
                self.check(number, lambda: lingering.append(self.play(script(self.seed, number))), canaries)
                # Those who stay are there for a few rounds more.
                if len(lingering) > 5:
                    for stranger in lingering.pop(0):
                        stranger.listen()
                        stranger.leave()
                if time.monotonic() - told > 30:
                    told = time.monotonic()
                    self.say(f"fuzz: {number} rounds, {self.memory() >> 20} MiB, canaries {canaries.slowest:.3f} s")
                number += 1
            for stranger in sum(lingering, []):
                stranger.leave()
            canaries.close()
            self.check(number - 1, self.reopen)
        finally:
            self.node.clean_up()
        # A fuzzer that nobody answers finds nothing.
        if not self.heard[CONNACK] or not self.heard[PUBLISH]:
            raise Finding(f"the strangers heard no CONNACK or no PUBLISH: {self.heard}")
        self.say(
            f"fuzz: {number - first} rounds clean; strangers heard {self.heard[CONNACK]} CONNACK, "
            f"{self.heard[PUBLISH]} PUBLISH; most memory {self.most_memory >> 20} MiB, slowest canary {canaries.slowest:.3f} s"
        )
        return number - first

    def play(self, steps):
        strangers = {}
        for index, what, data in steps:
            if what == "come":
                door = data.decode()
                strangers[index] = Stranger(self.ports[DOORS[door][1]], door in WEB_DOORS)
                continue
            stranger = strangers[index]
            {
                "say": lambda: stranger.say(data),
                "listen": stranger.listen,
                "hush": stranger.hush,
                "leave": lambda: (stranger.listen(), stranger.leave()),
                "reset": lambda: stranger.leave(abruptly=True),
                "stay": stranger.listen,
            }[what]()
        for stranger in strangers.values():
            self.heard.update(stranger.heard)
        return list(strangers.values())

    def check(self, number, work, canaries=None):
        """Does it, lets the canaries talk, and tells the whole story when something is wrong."""
        try:
            work()
            if canaries:
                canaries.sing()
            if not self.node.is_running:
                raise Finding(f"the node ended with {self.node.process.returncode}")
            if self.memory() > MEMORY_MAX:
                raise Finding(f"the node takes {self.memory() >> 20} MiB")
        except (AssertionError, Gone, OSError, Finding) as error:
            if self.node.process.poll() is None and not isinstance(error, Finding):
                time.sleep(0.5)  # a process that is dying has sockets that end before it does
            status = self.node.process.poll()
            story = self.node.folder.parent / f"round-{number}.txt"
            steps = script(self.seed, number)
            story.write_text("".join(f"{index} {what} {data.hex()}\n" for index, what, data in steps))
            state = "lives" if status is None else f"ended with {status}"
            raise Finding(
                f"seed {self.seed}, round {number}: {error}; the node {state}\n{story.read_text()}"
                f"repeat: make fuzz ARGS=\"--seed {self.seed} --rounds {number}\"{self.node.log_tail()}"
            ) from error

    def memory(self):
        for line in open(f"/proc/{self.node.pid}/status"):
            if line.startswith("VmRSS:"):
                rss = int(line.split()[1]) * 1024
                self.most_memory = max(self.most_memory, rss)
                return rss
        raise Finding("the node is gone")

    def reopen(self):
        status = self.node.stop(60)
        if status != 0:
            raise Finding(f"SIGTERM ends it with {status}")
        self.node.start(60)
        canaries = Canaries(self.node.port)
        canaries.sing()
        canaries.close()


def main():
    parser = argparse.ArgumentParser(description="Mutated packets at the whole server.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time, printed first")
    parser.add_argument("--first", type=int, default=1, help="the round to begin with")
    parser.add_argument("--rounds", type=int, default=None, help="so many rounds instead of a time")
    arguments = parser.parse_args()
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    print(f"fuzz: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        try:
            Campaign(folder, seed, lambda line: print(line, flush=True)).run(
                arguments.minutes * 60, arguments.first, arguments.rounds
            )
        except Finding as finding:
            sys.exit(f"fuzz: {finding}")


if __name__ == "__main__":
    main()

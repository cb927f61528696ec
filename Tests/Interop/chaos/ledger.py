"""The ledger: messages by the hundred thousand through queues that are full, while their readers come and go.

    ledger.py --messages 1000000 --policy drop-oldest --seed 7

Publishers keep their windows full, sessions with small queues come, read some, leave in every way there is, and one of
two connections takes the session from the other. At the end everybody drains, and for each session, to the message:

    accepted for it = acknowledged by it + dropped, as `drawbridge ctl spool` says + waiting (nothing)

Also: what was acknowledged never comes again, what comes again says so (DUP), order is kept, what was refused reaches
nobody, and the policy drops what its name says.
"""

import json
import pathlib
import random
import re
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brokers import Drawbridge, drawbridge_binary  # noqa: E402
from chaos import command  # noqa: E402
from chaos.actors import Finding  # noqa: E402
from wire import Wire, text, variable_length  # noqa: E402

POLICIES = ["drop-oldest", "drop-qos0-then-oldest", "drop-newest", "reject"]
QUEUE_MESSAGES, QUEUE_BYTES = 500, 64 << 10
IDS = [struct.pack("!H", number) for number in range(65536)]
ACKS, RECEIVED, COMPLETED = ([kind + b"\x02" + number for number in IDS] for kind in (b"\x40", b"\x50", b"\x70"))
ACCEPTED, REFUSED = 1, 2
SEEN, ACKED = 1, 2
SMALL, LARGE = 20, 700  # bytes of padding: a queue is full by its messages, or by its bytes


class Connection:
    """Bytes out without waiting, bytes in as they come."""

    def __init__(self, wire):
        self.socket, self.pending, self.received = wire.socket, bytearray(), wire.received
        self.socket.setblocking(False)

    def send(self, data):
        self.pending += data
        self.flush()

    def flush(self):
        if not self.pending:
            return
        try:
            del self.pending[: self.socket.send(self.pending)]
        except BlockingIOError:
            pass
        except OSError:
            self.pending.clear()  # reading says what happened

    def read(self):
        """All that is here; False when the broker closed."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.received += data
        return bool(data)

    def close(self):
        self.socket.close()


class Publisher:
    """Fills its window with messages and notes what became of each. Sequence numbers start at 0."""

    def __init__(self, port, index, version, qos, dice):
        self.index, self.version, self.qos, self.dice = index, version, qos, dice
        self.topic = f"l/{index}"
        self.open = 0
        self.window = 250 if version == 5 else 600
        self.fate = bytearray()
        self.refused = 0
        self.sent = self.goal = 0
        self.padding = SMALL
        self.burst = 0
        self.connect(port)

    def connect(self, port):
        self.connection = Connection(Wire(port, f"p{self.index}", self.version, clean=True))

    @property
    def is_done(self):
        return len(self.fate) == self.goal and not self.open

    def act(self):
        """Sends what the window has room for, in one piece."""
        count = min(self.goal - self.sent, self.window - self.open)
        if count < self.window // 4 and count < self.goal - self.sent or count <= 0:
            return
        if self.burst <= 0:
            self.padding = LARGE if self.dice.random() < 0.2 else SMALL
            self.burst = self.dice.randrange(200, 3000)
        self.burst -= count
        name = text(self.topic)
        tail = b"\0" if self.version == 5 else b""
        head = bytes([0x30 | self.qos << 1]) + variable_length(len(name) + 2 + len(tail) + 5 + self.padding) + name
        tail += bytes([self.index])
        padding = bytes(self.padding)
        pack = struct.Struct("!I").pack
        parts = []
        for number in range(self.sent, self.sent + count):
            parts += (head, IDS[number % 65535 + 1], tail, pack(number), padding)
        self.sent += count
        self.open += count
        self.connection.send(b"".join(parts))

    def receive(self):
        is_open = self.connection.read()
        data, at, end = self.connection.received, 0, len(self.connection.received)
        fate, number = self.fate, len(self.fate)
        releases, answer = [], 0x40 if self.qos == 1 else 0x50
        while end - at >= 4 and end - at >= 2 + data[at + 1]:
            length = data[at + 1]
            if data[at] == 0x70 and self.qos == 2:
                self.open -= 1
                at += 2 + length
                continue
            if data[at] != answer:
                raise Finding(f"{self.topic}: an answer expected, got {bytes(data[at : at + 2 + length]).hex()}")
            if data[at + 2 : at + 4] != IDS[number % 65535 + 1]:
                raise Finding(f"{self.topic}: answer to {bytes(data[at + 2 : at + 4]).hex()} instead of number {number}")
            reason = data[at + 4] if length > 2 else 0
            if reason == 0x97:
                fate.append(REFUSED)
                self.refused += 1
                self.open -= 1
            elif reason == 0:
                fate.append(ACCEPTED)
                if self.qos == 2:
                    releases += (b"\x62\x02", IDS[number % 65535 + 1])
                else:
                    self.open -= 1
            else:
                raise Finding(f"{self.topic}: answered with 0x{reason:02x}")
            number += 1
            at += 2 + length
        del data[:at]
        if releases:
            self.connection.send(b"".join(releases))
        if not is_open:
            raise Finding(f"{self.topic}: the broker closed the connection of a publisher")


class Reader:
    """A durable session that comes and goes. `connection` is None while it is away."""

    def __init__(self, campaign, name, version, filters, qos=1):
        self.campaign, self.name, self.version, self.dice = campaign, name, version, campaign.dice
        self.topics = set()
        self.state = [bytearray(campaign.capacity) for _ in campaign.publishers]
        self.newest = [-1] * len(campaign.publishers)
        self.acked = self.duplicates = self.visits = self.takeovers = self.left_unacked = 0
        self.connection = None
        self.is_sleeper = self.is_draining = False
        with Wire(campaign.node.port, name, version) as wire:
            for number, filter in enumerate(filters, 1):
                wire.subscribe(filter, qos, number)
                self.topics |= {p.index for p in campaign.publishers if filter in ("l/#", "l/+", p.topic)}
            wire.disconnect()
        self.plan_absence()

    # ----------------------------------------------------------------------------------------------- what it does

    def plan_absence(self):
        patience = 0.02 if self.campaign.policy == "reject" else 2.0
        # Some come back at once, to what was under way when they left; the others find their queue full.
        self.back_at = self.campaign.attempts + self.dice.randrange(self.dice.choice([1, self.campaign.absence_max]))
        self.back_time = time.monotonic() + self.dice.random() * patience

    def act(self):
        if self.connection is None:
            if not self.is_sleeper and (self.campaign.attempts >= self.back_at or time.monotonic() > self.back_time):
                self.come()
            return
        if self.is_draining or self.is_leaving:
            return
        if self.is_deaf:
            if time.monotonic() > self.deaf_until:
                self.is_deaf = False
        elif self.to_read <= 0 or self.campaign.attempts > self.stay_to or time.monotonic() > self.stay_until:
            self.prepare_to_leave()

    def come(self):
        self.connection = self.connect()
        self.visits += 1
        self.is_leaving = False
        # Whoever is away from a queue that refuses stops everybody, so such readers stay longer.
        self.to_read = self.dice.choice([20, 300, 3000, 30_000] if self.campaign.policy != "reject" else [300, 10_000, 50_000])
        # Some stop to acknowledge before they leave: their last messages are under way and come again.
        self.to_ack = self.to_read if self.dice.random() < 0.5 else self.dice.randrange(self.to_read)
        # And some do not read for a while, until the broker cannot write.
        self.is_deaf = self.campaign.policy != "reject" and self.dice.random() < 0.2
        self.deaf_until = time.monotonic() + 0.2
        self.stay_until = time.monotonic() + 2.0
        self.stay_to = self.campaign.attempts + self.dice.randrange(2 * self.campaign.absence_max)

    def connect(self):
        wire = Wire(self.campaign.node.port, self.name, self.version)
        if not wire.session_present:
            raise Finding(f"the session of {self.name} is lost")
        return Connection(wire)

    def prepare_to_leave(self):
        """What was acknowledged is known to be taken once PINGRESP is here; nothing more is acknowledged."""
        self.is_leaving = True
        self.to_ack = 0
        self.connection.send(b"\xc0\0")

    def leave(self):
        way = self.dice.random()
        if way < 0.2:
            self.take_over()
            return
        if way < 0.6:
            self.connection.send(b"\xe0\0")
        self.connection.close()
        self.connection = None
        self.plan_absence()

    def take_over(self):
        """Another connection of the same client: the first one is ended by the broker."""
        before = self.connection
        self.takeovers += 1
        self.come()
        before.socket.settimeout(10)
        tail = b""
        try:
            while data := before.socket.recv(65536):
                tail = (tail + data)[-256:]
        except OSError as error:
            raise Finding(f"{self.name}: the connection that was taken over does not end: {error}") from None
        if self.version == 5 and not re.search(rb"\xe0[\x01-\x7f]\x8e", tail):
            raise Finding(f"{self.name}: no DISCONNECT 0x8E for the connection that was taken over: {tail.hex()}")
        before.close()

    def drain(self):
        """Comes, and acknowledges everything from now on."""
        if self.connection is None:
            self.come()
        elif self.is_leaving:
            # What it left unacknowledged comes again, to another connection.
            self.connection.close()
            self.come()
        elif not self.is_draining and self.to_ack < self.to_read:
            self.connection.close()
            self.come()
        self.is_draining, self.is_deaf, self.to_ack, self.to_read = True, False, 1 << 60, 1 << 60

    # ------------------------------------------------------------------------------------------- what comes to it

    def receive(self):
        connection = self.connection
        is_open = connection.read()
        data, at, end = connection.received, 0, len(connection.received)
        acks, has_pong = [], False
        state, newest, skip = self.state, self.newest, 7 if self.version < 5 else 8
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length & 0x80:
                if end - at < 3:
                    break
                length, start = length & 0x7F | data[at + 2] << 7, at + 3
            if start + length > end:
                break
            first = data[at]
            at = start + length
            if first & 0xF0 != 0x30:
                if first == 0xD0:
                    has_pong = True
                    continue
                if first == 0x62:
                    # Also of a message that it never acknowledged: its queue may have given it up.
                    if not self.is_leaving:
                        acks.append(COMPLETED[data[start] << 8 | data[start + 1]])
                    continue
                raise Finding(f"{self.name}: PUBLISH expected, got {bytes(data[start - 2 : at]).hex()}")
            publisher = data[start + skip]
            number = int.from_bytes(data[start + skip + 1 : start + skip + 5], "big")
            known = state[publisher][number]
            if known == ACKED:
                raise Finding(f"{self.name}: {number} of l/{publisher} comes again although it was acknowledged")
            if known == SEEN:
                if not first & 0x08:
                    raise Finding(f"{self.name}: {number} of l/{publisher} comes again without DUP")
                self.duplicates += 1
            elif number <= newest[publisher]:
                raise Finding(f"{self.name}: {number} of l/{publisher} comes after {newest[publisher]}")
            else:
                newest[publisher] = number
            self.to_read -= 1
            if self.to_ack > 0:
                self.to_ack -= 1
                state[publisher][number] = ACKED
                self.acked += 1
                acks.append((RECEIVED if first & 4 else ACKS)[data[start + 5] << 8 | data[start + 6]])
            else:
                self.left_unacked += known != SEEN
                state[publisher][number] = SEEN
        del data[:at]
        if acks:
            connection.send(b"".join(acks))
        if not is_open:
            raise Finding(f"{self.name}: the broker closed the connection")
        if has_pong:
            self.leave()


class Ledger:
    def __init__(self, folder, policy, messages, seed, say=print):
        self.policy, self.messages, self.seed, self.say = policy, messages, seed, say
        self.dice = random.Random(f"{seed} {policy}")
        self.node = Drawbridge(
            folder,
            policy,
            more=f"""
[limits]
max_packet = "16KiB"
inflight = {32 if policy != "reject" else 256}
[queue]
max_messages = {QUEUE_MESSAGES}
max_bytes = {QUEUE_BYTES}
on_full = "{policy}"
""",
        )
        # Version and QoS of each publisher.
        self.kinds = [(5, 1), (5, 1), (5, 1), (4, 1), (5, 2)]
        self.capacity = messages + 100_000
        self.absence_max = max(1000, min(8000, messages // 20))
        self.snapshots = 0
        self.slowest_answer = 0.0

    @property
    def attempts(self):
        return sum(p.sent for p in self.publishers)

    # --------------------------------------------------------------------------------------------------- the loop

    def turn(self):
        readers = {r.connection.socket: r for r in self.readers if r.connection and not r.is_deaf}
        actors = {p.connection.socket: p for p in self.publishers} | readers
        blocked = [s for s, a in actors.items() if a.connection.pending]
        # Messages may have come together with CONNACK: nothing more comes before they are acknowledged.
        fresh = [s for s, r in readers.items() if r.connection.received]
        readable, writable, _ = select.select(list(actors), blocked, [], 0 if fresh else 0.01)
        for ready in writable:
            actors[ready].connection.flush()
        for ready in {*readable, *fresh}:
            actor = actors[ready]
            # A reader may have left, or been taken over, since.
            if actor.connection and actor.connection.socket is ready:
                actor.receive()
        for actor in (*self.publishers, *self.readers):
            actor.act()

    def load(self, counts, seconds):
        for publisher, count in zip(self.publishers, counts):
            publisher.goal += count
        deadline, looked = time.monotonic() + seconds, time.monotonic()
        while not all(p.is_done for p in self.publishers):
            self.turn()
            now = time.monotonic()
            if now - looked > 2:
                self.look()
                looked = time.monotonic()
            if now > deadline:
                raise Finding(f"{[len(p.fate) for p in self.publishers]} of {[p.goal for p in self.publishers]} answered")

    def drain(self, seconds=60):
        for reader in self.readers:
            reader.is_sleeper = False
            reader.drain()
        deadline = time.monotonic() + seconds
        while True:
            stop = time.monotonic() + 0.1
            while time.monotonic() < stop:
                self.turn()
            told = self.look()
            if all(receiver["depth"] == 0 for receiver in told["receivers"]):
                return told
            if time.monotonic() > deadline:
                raise Finding(f"not drained: {[(r['name'], r['depth']) for r in told['receivers']]}")

    def leave(self):
        """Everybody is gone, and the broker knows."""
        for reader in self.readers:
            reader.connection.send(b"\xe0\0")
            reader.connection.close()
            reader.connection, reader.is_draining, reader.is_sleeper = None, False, True
        deadline = time.monotonic() + 10
        while any(receiver["connected"] for receiver in self.look()["receivers"]):
            if time.monotonic() > deadline:
                raise Finding("clients that left are still connected")

    # --------------------------------------------------------------------------------------------------- the books

    def look(self):
        """What `drawbridge ctl spool` says. Its books close at any moment."""
        began = time.monotonic()
        result = subprocess.run(
            [drawbridge_binary(), "ctl", "spool", "--json", "--data", self.node.data], capture_output=True, timeout=60
        )
        if result.returncode:
            raise Finding(f"ctl spool: {result.stderr.decode()}")
        self.slowest_answer = max(self.slowest_answer, time.monotonic() - began)
        self.snapshots += 1
        told = json.loads(result.stdout)
        for name, books in [("all", told["since_start"]["ledger"])] + [
            (receiver["name"], receiver["ledger"]) for receiver in told["receivers"]
        ]:
            dropped = sum(books["dropped"].values())
            if books["restored"] + books["taken"] != books["delivered"] + books["waiting"] + dropped:
                raise Finding(f"the books of {name} do not close: {books}")
        return told

    def check(self, told):
        """Everybody has drained: the books of the node against what publishers and readers saw."""
        books = {receiver["name"]: receiver for receiver in told["receivers"]}
        for reader in self.readers:
            ledger = books[reader.name]["ledger"]
            accepted = sum(p.fate.count(ACCEPTED) for p in self.publishers if p.index in reader.topics)
            dropped = sum(ledger["dropped"].values())
            numbers = f"{accepted} accepted, {reader.acked} acknowledged, {dropped} dropped"
            if ledger["taken"] != accepted or ledger["delivered"] != reader.acked or ledger["waiting"] != 0:
                raise Finding(f"{reader.name}: {numbers}, but the node says {ledger}")
            if accepted != reader.acked + dropped:
                raise Finding(f"{reader.name}: the ledger does not close: {numbers}")
            reason = {"drop-newest": "newest", "reject": None}.get(self.policy, "oldest")
            others = {name: count for name, count in ledger["dropped"].items() if count and name != reason}
            if others:
                raise Finding(f"{reader.name}: dropped for reasons that {self.policy} does not know: {others}")
            for publisher in self.publishers:
                state = reader.state[publisher.index]
                for number, fate in enumerate(publisher.fate):
                    if state[number] and (fate == REFUSED or publisher.index not in reader.topics):
                        raise Finding(f"{reader.name} got {number} of {publisher.topic}, which was not for it")
                    if self.policy == "reject" and publisher.index in reader.topics:
                        if fate == ACCEPTED and state[number] != ACKED:
                            raise Finding(f"{reader.name} did not get {number} of {publisher.topic}, nothing is dropped")
        refused = sum(p.refused for p in self.publishers)
        if told["since_start"]["refused"] != refused:
            raise Finding(f"{refused} publishes were refused, the node says {told['since_start']['refused']}")
        if self.policy != "reject" and refused + told["since_start"]["held_back"]:
            raise Finding(f"{self.policy} refuses nobody, but did: {refused}, {told['since_start']['held_back']}")

    def check_policy(self):
        """Everybody is away and their queues are empty: who publishes three times what fits, what is kept of it?"""
        self.leave()
        for publisher in self.publishers:
            publisher.padding, publisher.burst = SMALL, 1 << 60
        start = [len(p.fate) for p in self.publishers]
        # One after the other, so that the order of all is known; version 3 would wait, where it cannot be refused.
        speakers = [p for p in self.publishers if p.version == 5 or self.policy != "reject"]
        share = 3 * QUEUE_MESSAGES // len(speakers)
        for speaker in speakers:
            self.load([share if p is speaker else 0 for p in self.publishers], 60)
        self.look()
        told = self.drain()
        self.check(told)
        for reader in self.readers:
            stream = [
                reader.state[p.index][number] == ACKED
                for p in speakers
                if p.index in reader.topics
                for number in range(start[p.index], len(p.fate))
                if p.fate[number] == ACCEPTED
            ]
            kept = stream.count(True)
            if self.policy == "reject":
                # Whoever hears everything was full before it heard everybody.
                expected = all(stream) and (kept >= QUEUE_MESSAGES or len(reader.topics) < len(self.publishers))
            else:
                full = min(QUEUE_MESSAGES, len(stream))
                is_newest = self.policy == "drop-newest"
                expected = kept == full and all(stream[:full] if is_newest else stream[-full:])
            if not expected:
                raise Finding(f"{reader.name}: {kept} of {len(stream)} kept, and not those that {self.policy} keeps")

    def check_restart(self):
        """What waited is there after a restart, and nothing else: the books begin anew with it."""
        self.leave()
        self.load([100 if p.version == 5 else 0 for p in self.publishers], 60)
        before = {receiver["name"]: receiver["depth"] for receiver in self.look()["receivers"]}
        for publisher in self.publishers:
            publisher.connection.close()
        if self.node.stop() != 0:
            raise Finding("the node did not end in good order")
        self.node.restart()
        for publisher in self.publishers:
            publisher.connect(self.node.port)
        acked = {reader.name: reader.acked for reader in self.readers}
        for told in (self.look(), self.drain()):
            for receiver in told["receivers"]:
                ledger, name = receiver["ledger"], receiver["name"]
                if ledger["restored"] != before[name] or ledger["taken"] or sum(ledger["dropped"].values()):
                    raise Finding(f"{before[name]} messages waited for {name} before a restart, after it: {ledger}")
        for reader in self.readers:
            if reader.acked - acked[reader.name] != before[reader.name]:
                raise Finding(f"{reader.name} got {reader.acked - acked[reader.name]} of {before[reader.name]}")

    def check_end(self):
        """Sessions that end take what waits with them, and that is counted too."""
        self.leave()
        speakers = [p for p in self.publishers if p.version == 5]
        self.load([100 if p in speakers else 0 for p in self.publishers], 60)
        before = self.look()
        waiting = before["totals"]["waiting"]
        for reader in self.readers:
            Wire(self.node.port, reader.name, reader.version, clean=True).disconnect()
        after = self.look()["since_start"]["ledger"]
        if not waiting or after["dropped"]["ended"] != waiting or after["waiting"]:
            raise Finding(f"{waiting} messages waited for sessions that ended, the node says {after}")

    def run(self):
        began = time.monotonic()
        self.readers = []
        try:
            self.node.start()
            port = self.node.port
            self.publishers = [Publisher(port, index, *kind, self.dice) for index, kind in enumerate(self.kinds)]
            self.readers = [
                Reader(self, "all-5", 5, ["l/#"]),
                Reader(self, "all-3", 4, ["l/+"]),
                Reader(self, "two", 5, ["l/0", "l/4"], 2),
                Reader(self, "two-3", 4, ["l/4"], 2),
                Reader(self, "overlap", 5, ["l/#", "l/2"]),
                Reader(self, "late", 4, ["l/3"]),
                Reader(self, "sleeper", 5, ["l/1", "l/3"]),
            ]
            self.readers[-1].is_sleeper = self.policy != "reject"
            share = self.messages // len(self.publishers)
            self.load([share] * len(self.publishers), 60 + self.messages / 2000)
            loaded = time.monotonic() - began
            self.check(self.drain())
            result = self.story(loaded)
            self.check_policy()
            self.check_restart()
            self.check_end()
            self.node.stop()
            self.say(result + f"; {time.monotonic() - began:.0f} s in all")
        except (Finding, AssertionError) as finding:
            raise Finding(f"{finding}\n{self.policy}, seed {self.seed}{self.node.log_tail(1500)}") from finding
        finally:
            self.node.clean_up()

    def story(self, seconds):
        told = self.look()
        books, readers = told["since_start"]["ledger"], self.readers
        return (
            f"{self.policy}: {self.attempts} published in {seconds:.0f} s"
            f" ({self.attempts / seconds:,.0f}/s), {sum(p.refused for p in self.publishers)} refused,"
            f" {told['since_start']['held_back']} held back; {len(readers)} sessions, {sum(r.visits for r in readers)}"
            f" visits, {sum(r.takeovers for r in readers)} takeovers: {books['taken']} taken = {books['delivered']}"
            f" delivered + {books['waiting']} waiting + {sum(books['dropped'].values())} dropped;"
            f" {sum(r.duplicates for r in readers)} came again with DUP; {self.snapshots} looks,"
            f" slowest {self.slowest_answer:.2f} s"
        )


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--policy", choices=POLICIES, action="append")
    parser.add_argument("--messages", type=int, default=1_000_000, help="of each policy")
    options = parser.parse_args()

    def work(policy, folder):
        Ledger(folder, policy, options.messages, options.seed, command.say).run()

    command.run(options, "ledger", options.policy or POLICIES, work)


if __name__ == "__main__":
    main()

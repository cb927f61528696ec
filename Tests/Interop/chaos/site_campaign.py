"""Several brokers that are linked, under load, while processes die and lines break at random: what all such campaigns do.

Publishers and subscribers with durable sessions sit at the nodes. Meanwhile nodes are killed with -9 and come back, and
each line between two brokers is cut, delayed, falls silent, is forgotten by a firewall, or loses its far end without a
word. Every now and then everything heals and drains, and is compared.
"""

import collections
import pathlib
import random
import select
import time

from brokers import Drawbridge, free_port
from chaos.actors import Finding, Publisher, Subscriber
from chaos.comparing import compare, firsts, is_told
from weak_line import WeakLine
from wire import Gone


def link(port, name, more, rules):
    """Quick to notice and quick to return, so that a run is more than waiting."""
    return f"""
[[link]]
name = "{name}"
addresses = ["mqtt://127.0.0.1:{port}"]
keepalive = "2s"
ack_timeout = "3s"
backoff = {{ base = "50ms", cap = "500ms" }}
{more}
{rules}
"""


class Member:
    """A broker of the chain and when it comes back; None while it is up."""

    def __init__(self, broker):
        self.broker, self.returns_at, self.is_starting = broker, None, False
        self.is_ours = isinstance(broker, Drawbridge)

    @property
    def is_up(self):
        return self.returns_at is None and not self.is_starting

    def die(self, now, seconds):
        if self.is_ours:
            self.broker.kill()
        else:
            self.broker.stop()
        self.returns_at = now + seconds

    def look(self, now):
        """Brings it back when it is time; true once it is there."""
        if self.returns_at is not None and now >= self.returns_at:
            self.returns_at, self.is_starting, self.started_at = None, True, now
            if self.is_ours:
                self.broker.spawn(self.broker.command)
            else:
                self.broker.start()
        if self.returns_at is None and not self.broker.is_running:
            raise Finding(f"{self.broker.name} ended by itself{self.broker.log_tail(1500)}")
        if self.is_starting:
            if not self.is_ours or "ready" in self.broker.log_since_start().splitlines():
                self.is_starting = False
            elif now - self.started_at > 60:
                raise Finding(f"{self.broker.name} is not ready within 60 s{self.broker.log_tail(1500)}")
        return self.is_up


class SiteCampaign:
    """Whoever inherits makes the members and their lines, and then calls `inhabit`."""

    kills = True  # whether processes die in this storm

    def __init__(self, folder, shape, seed, say=print):
        self.dice, self.shape, self.seed, self.say = random.Random(f"{seed} {shape}"), shape, seed, say
        self.folder, self.counts = pathlib.Path(folder), collections.Counter()
        self.lines, self.members, self.healing = [], [], {}
        # What a full queue gives up by policy is another campaign: `ledger.py`.
        self.more = '[queue]\nmax_messages = 10000000\nmax_bytes = "16GiB"'

    def line(self, target, witness=None):
        self.lines.append(WeakLine(free_port(), target, witness))
        return self.lines[-1]

    def inhabit(self, speakers, hearers, topics):
        """`speakers` and `hearers`: (broker, name); `topics(name)`: where the publishers there publish."""
        self.publishers = [
            Publisher(broker.port, f"{side}{qos}", version, qos, self.dice, topics(side, qos))
            for broker, side in speakers
            for qos, version in ((1, 4), (2, 5))
        ]
        self.subscribers = [
            Subscriber(broker.port, f"s{side}{version}", version, 2, self.dice, self.filter, is_slow=version == 4)
            for broker, side in hearers
            for version in (4, 5)
        ]
        self.actors = [*self.publishers, *self.subscribers]

    @property
    def nodes(self):
        return [member.broker for member in self.members if member.is_ours]

    def links(self, node):
        """Names of its links; None while it cannot be asked."""
        try:
            return {link["name"]: link for link in node.health()["links"]}
        except OSError:
            return None

    # ------------------------------------------------------------------------------------------------ what breaks

    def break_something(self, now):
        dice = self.dice
        if self.kills and dice.random() < 0.35:
            member = dice.choice([member for member in self.members if member.is_up] or [None])
            if member:
                self.counts["kills" if member.is_ours else "stops of mosquitto"] += 1
                member.die(now, dice.choice([0, 0.1, 0.5, 1.5]))
            return
        line = dice.choice([line for line in self.lines if line not in self.healing] or [None])
        if not line:
            return
        way = dice.choice(["cut", "delay", "silence", "forgotten", "half open"])
        self.counts[way] += 1
        if way == "cut":
            line.cut()
        elif way == "delay":
            line.delay = dice.uniform(0.01, 0.2)
        elif way == "half open":
            line.lose_far_end()
            return
        else:
            line.go_silent()
        self.healing[line] = (now + dice.choice([0.05, 0.3, 1, 3]), way)

    def heal(self, now):
        for line, (when, way) in list(self.healing.items()):
            if now >= when:
                line.heal(forgets=way == "forgotten")
                del self.healing[line]

    # ------------------------------------------------------------------------------------------------ clients

    def turn(self, seconds, acts):
        """Lets all who are connected read, answer and act once, and brings back who is away."""
        now = time.monotonic()
        up = {member.broker.port for member in self.members if member.look(now)}
        self.heal(now)
        for actor in self.actors:
            if not actor.wire and actor.port in up:
                try:
                    actor.connect()
                except (OSError, Gone, AssertionError):
                    actor.leave()
        present = {actor.wire.socket: actor for actor in self.actors if actor.wire}
        for socket in select.select(list(present), [], [], seconds)[0] if present else time.sleep(seconds) or []:
            try:
                present[socket].wire.fill(0.5)
            except Gone:
                present[socket].pump()
                present[socket].leave()
        for actor in self.actors:
            actor.pump()
            try:
                if actor.wire and isinstance(actor, Subscriber):
                    actor.act()
                elif actor.wire and acts and self.dice.random() < 0.3:
                    actor.act(burst=2)
            except Gone:
                actor.leave()

    def storm(self, seconds):
        end, next_fault = time.monotonic() + seconds, 0
        while (now := time.monotonic()) < end:
            if now >= next_fault:
                self.break_something(now)
                next_fault = now + self.dice.uniform(0.1, 1)
            self.turn(0.01, acts=True)
            actor = self.dice.choice(self.actors)
            if actor.wire and self.dice.random() < 0.01:
                actor.leave()

    def until(self, what, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Finding(f"not within {seconds} s: {what}; {self.state()}")
            self.turn(0.02, acts=False)

    def state(self):
        lines = [f"{p.name}: open {[entry[0] for entry in p.open.values()][:10]}" for p in self.publishers]
        for subscriber in self.subscribers:
            lines.append(f"{subscriber.name}: {'here' if subscriber.wire else 'away'}")
            for publisher in self.publishers:
                missing = publisher.acknowledged - {number for number, _ in subscriber.arrived[publisher.name]}
                if missing:
                    lines.append(f"    {len(missing)} of {publisher.name} missing: {sorted(missing)[:10]}")
        for member in self.members:
            if member.is_ours:
                links = list((self.links(member.broker) or {}).values())
                lines.append(f"{member.broker.name}: {'up' if member.is_up else 'down'}, {links}")
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------ the checks

    def calm(self):
        """Everything whole again, everything through, and compared."""
        for line in self.lines:
            line.heal()
        self.healing.clear()
        for member in self.members:
            if member.returns_at is not None:
                member.returns_at = 0
        self.until("everybody is up", lambda: all(member.is_up for member in self.members))
        self.until("everything sent is answered", lambda: not any(publisher.open for publisher in self.publishers))
        for publisher in self.publishers:  # the last of each, so that all before it has come
            self.until(f"{publisher.name} is here", lambda: publisher.wire)
            publisher.act(burst=1)
        self.until(
            "the last of each arrived everywhere",
            lambda: not any(p.open for p in self.publishers)
            and all(is_told(subscriber, self.publishers) for subscriber in self.subscribers),
        )
        for subscriber in self.subscribers:
            for publisher in self.publishers:
                try:
                    self.judge(publisher, subscriber)
                except Finding as finding:
                    raise Finding(f"{finding}\n{self.sights(publisher)}") from None
        self.look()
        for subscriber in self.subscribers:
            subscriber.arrived.clear()
        for publisher in self.publishers:
            self.counts["messages"] += len(publisher.acknowledged)
            publisher.acknowledged.clear()
            publisher.sent.clear()
        self.counts["drains"] += 1

    def judge(self, publisher, subscriber):
        compare(publisher, subscriber, self.counts)

    def look(self):
        """What else is to be seen while all is quiet."""

    def forgive_copies(self, publisher, subscriber):
        """Copies are counted here, not judged."""
        arrived = subscriber.arrived[publisher.name]
        subscriber.arrived[publisher.name] = [(number, min(qos, 1)) for number, qos in arrived]

    def sights(self, publisher):
        """Where each subscriber saw the order of a publisher broken: who is right says where it broke."""
        lines = []
        for subscriber in self.subscribers:
            order = firsts(number for number, _ in subscriber.arrived[publisher.name])
            steps = [at for at in range(1, len(order)) if order[at] < order[at - 1]]
            where = [order[max(0, at - 3) : at + 3] for at in steps[:3]]
            lines.append(f"{subscriber.name} saw {len(order)} of {publisher.name}, {len(steps)} steps back: {where}")
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------ the run

    def run(self, seconds):
        self.began = time.monotonic()
        try:
            for member in reversed(self.members):
                member.broker.start()
            for node in self.nodes:
                for name in self.links(node):
                    node.wait_for_link(name)
            for subscriber in self.subscribers:
                subscriber.subscribe()
            while (left := seconds - (time.monotonic() - self.began)) > 0:
                self.storm(min(left, self.dice.uniform(5, 25)))
                self.calm()
                self.say(self.story())
        except (Finding, AssertionError) as finding:
            raise Finding(f"{finding}\nshape {self.shape}, seed {self.seed}, {self.story()}") from finding
        finally:
            for member in self.members:
                member.broker.clean_up()
            for line in self.lines:
                line.close()
        return self.counts

    def story(self):
        c = self.counts
        ways = ", ".join(f"{c[way]} {way}" for way in ("cut", "delay", "silence", "forgotten", "half open"))
        return (
            f"{self.shape}: {time.monotonic() - self.began:.0f} s, {c['kills']} kills, {c['stops of mosquitto']} stops of"
            f" mosquitto; lines: {ways}; {c['messages']} acknowledged messages, {c['deliveries']} deliveries"
            f" ({c['duplicates at QoS 1']} again), {c['drains']} drains"
        )

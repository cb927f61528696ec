"""The campaign: a node under load dies, again and again, and everybody compares what they were told with what is there.

    campaign.py --qos 1 --rounds 200 --seed 7

A round is some load and a death: a kill -9 at a random moment, or at a random change of a file, alternating with power
cuts, that are kills after which the unsynced is gone. In every third round another death comes before or shortly after
the node is up again. Then the clients come back, and do what the standard wants of them.

Checked after each death: sessions, subscriptions, retained values. Checked whenever everything is drained, about
every third round: nothing acknowledged is lost, nothing comes twice at QoS 2, order by first arrival.
"""

import collections
import pathlib
import random
import select
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brokers import Drawbridge  # noqa: E402
from chaos import command  # noqa: E402
from chaos.actors import Fickle, Finding, Publisher, Subscriber  # noqa: E402
from chaos.comparing import compare, is_told  # noqa: E402
from chaos.power import Power  # noqa: E402
from wire import PUBACK, PUBLISH, Gone, Wire  # noqa: E402


class Campaign:
    def __init__(self, folder, qos, seed, shim=None, say=print, is_lying=False, fault_share=0.0):
        """`fault_share`: the share of the rounds in which writes or syncs fail, or the disk is full, before the death.
        `is_lying`: the disk says "synced" and forgets nevertheless, to see whether the campaign finds it."""
        self.is_lying, self.fault_share = is_lying, fault_share
        self.dice, self.qos, self.seed, self.say = random.Random(f"{seed} {qos}"), qos, seed, say
        # What a full queue gives up by policy is another campaign: `ledger.py`.
        self.node = Drawbridge(folder, "node", more='[queue]\nmax_messages = 10000000\nmax_bytes = "16GiB"')
        self.power = Power(self.node.data, self.node.folder / "disk", shim)
        self.counts = collections.Counter()
        self.slowest_start = 0.0
        port, dice = self.node.port, self.dice
        self.publishers = [
            Publisher(port, f"p{index}", version, qos, dice, [f"load/p{index}/{n}" for n in range(3)])
            for index, version in enumerate([4, 5, 4, 5])
        ]
        self.retainers = [
            Publisher(port, f"r{version}", version, qos, dice, [f"kept/r{version}/{n}" for n in range(8)], True, window=4)
            for version in (4, 5)
        ]
        self.subscribers = [
            Subscriber(port, f"s{index}", version, sub_qos, dice, "load/#", is_slow)
            for index, (version, sub_qos, is_slow) in enumerate(
                [(4, qos, False), (5, qos, False), (5, qos, True), (4, 3 - qos, True), (5, 2, False)]
            )
        ]
        for publisher in (*self.publishers, *self.retainers):
            publisher.may_be_refused = fault_share > 0
        self.fickle = [Fickle(port, f"f{version}", version, dice) for version in (4, 5)]
        self.actors = [*self.publishers, *self.retainers, *self.subscribers, *self.fickle]
        self.is_power_round = False

    # ------------------------------------------------------------------------------------------------ the node

    def start(self):
        """True when it is ready; false when it died before."""
        began = time.monotonic()
        self.node.spawn(self.node.command, self.power.environment)
        while True:
            if "ready" in self.node.log_since_start().splitlines():
                self.slowest_start = max(self.slowest_start, time.monotonic() - began)
                return True
            if (status := self.node.process.poll()) is not None:
                if status == -9:
                    return False
                raise Finding(f"the node does not start, status {status}{self.node.log_tail(1500)}")
            if time.monotonic() - began > 30:
                raise Finding(f"the node is not ready within 30 s{self.node.log_tail(1500)}")
            time.sleep(0.005)

    def die(self):
        """The end of a life; what comes after is seen through another power supply."""
        self.node.process.kill()
        status = self.node.process.wait()
        if status != -9:
            self.raise_ended()
        self.power.heal()
        for actor in self.actors:
            actor.leave()
        if self.is_power_round:
            self.counts["power cuts"] += 1
            way, lost = self.power.cut(self.dice.getrandbits(32))
            self.counts.update(lost)
        else:
            self.counts["kills"] += 1

    def raise_ended(self):
        status = self.node.process.returncode
        raise Finding(f"the node ended by itself, status {status}{self.node.log_tail(1500)}") from None

    def rise(self):
        """Starts, and sometimes dies of it."""
        while True:
            again = self.dice.random() < 0.35
            if again and self.dice.random() < 0.6:
                self.power.break_disk(dies_in=self.dice.randint(0, 40))
            is_up = self.start() if not again else self.start_and_die()
            if is_up:
                self.power.heal()
                return
            self.counts["deaths in recovery"] += 1
            self.die()

    def start_and_die(self):
        """A start that is killed within milliseconds of its first sign of life, if it does not die by the disk before."""
        moment = time.monotonic() + self.dice.uniform(0, 0.15)
        self.node.spawn(self.node.command, self.power.environment)
        for actor in self.publishers:  # some load, if it listens already
            try:
                actor.connect()
            except (OSError, Gone, AssertionError):
                actor.leave()
        while time.monotonic() < moment and self.node.process.poll() is None:
            self.turn(0.01)
        return False

    # ------------------------------------------------------------------------------------------------ clients

    def come_back(self, actor, must=False):
        try:
            actor.connect()
            return True
        except (OSError, Gone):
            actor.leave()
            if must:
                if self.is_dead():
                    self.raise_ended()
                raise Finding(f"{actor.name} cannot connect although the node runs") from None
            return False

    def turn(self, seconds, acts=False):
        """Lets all who are connected read, answer and act once."""
        present = {actor.wire.socket: actor for actor in self.actors if actor.wire}
        ready = select.select(list(present), [], [], seconds)[0] if present else time.sleep(seconds) or []
        for socket in ready:
            try:
                present[socket].wire.fill(0.5)
            except Gone:
                present[socket].pump()
                present[socket].leave()
        for actor in self.actors:
            actor.pump()  # some came together with the CONNACK
            if actor.wire and (acts or isinstance(actor, Subscriber)):
                try:
                    actor.act()
                except Gone:
                    actor.leave()

    def is_dead(self):
        return self.node.process.poll() is not None

    def load(self, seconds):
        """Everybody at work, subscribers come and go; ends early when the node dies."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.is_dead():
            self.turn(0.005, acts=True)
            for actor in self.subscribers:
                if actor.wire and self.dice.random() < 0.01:
                    actor.leave()
                elif not actor.wire and self.dice.random() < 0.05:
                    self.come_back(actor)
            for actor in (*self.publishers, *self.retainers, *self.fickle):
                if actor.wire and self.dice.random() < 0.002:
                    actor.leave()
                elif not actor.wire:
                    self.come_back(actor)

    def until(self, what, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Finding(f"not within {seconds} s: {what}; {self.state()}")
            for actor in self.actors:
                if not actor.wire:
                    self.come_back(actor)
            self.turn(0.02)
            if self.is_dead():
                self.raise_ended()

    def state(self):
        """What everybody waits for, to understand a standstill."""
        lines = [f"{p.name}: open {[entry[0] for entry in p.open.values()][:10]}" for p in (*self.publishers, *self.retainers)]
        for subscriber in self.subscribers:
            lines.append(
                f"{subscriber.name}: {'here' if subscriber.wire else 'away'}, owes {len(subscriber.owed)},"
                f" unreleased {sorted(subscriber.unreleased)[:10]}"
            )
            for publisher in self.publishers:
                missing = publisher.acknowledged - {number for number, _ in subscriber.arrived[publisher.name]}
                if missing:
                    lines.append(f"    {len(missing)} of {publisher.name} missing: {sorted(missing)[:10]}")
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------ the checks

    def check_subscriptions(self):
        """What SUBACK promised is there, what UNSUBACK took back is not."""
        for actor in self.fickle:
            if not actor.wire:
                self.come_back(actor, must=True)
        self.until("the open SUBSCRIBEs are answered", lambda: not any(actor.asked for actor in self.fickle))
        self.counts["probes"] += 1
        mark = f"probe {self.counts['probes']}"
        with Wire(self.node.port, "prober", clean=True) as wire:
            wanted = [(actor, filter) for actor in self.fickle for filter in actor.state]
            for packet_id, (actor, filter) in enumerate(wanted, 1):
                wire.publish(filter, f"{mark} {filter}".encode(), 1, packet_id)
            for _ in wanted:
                packet = wire.read()
                if packet.kind != PUBACK:
                    raise Finding(f"the prober got {packet}")
        expected = [(actor, filter) for actor, filter in wanted if actor.state[filter]]
        self.until(
            "every subscription gets its probe: "
            + str([filter for actor, filter in expected if not actor.probed[f"{mark} {filter}"]]),
            lambda: all(actor.probed[f"{mark} {filter}"] for actor, filter in expected),
        )
        for actor, filter in wanted:
            if actor.state[filter] is False and actor.probed[f"{mark} {filter}"]:
                raise Finding(f"{actor.name} got {mark} by {filter}, which it had taken back")
        for actor in self.fickle:
            actor.probed.clear()
        self.counts["subscriptions checked"] += len(expected)

    def check_retained(self):
        """Each is the last acknowledged or a later one. What is open may still change, so the senders stand still."""
        seen, expected = {}, sum(len(r.topics) for r in self.retainers)
        with Wire(self.node.port, "collector", clean=True) as wire:
            wire.subscribe("kept/#", 0)
            wire.publish("kept/end", b"end", 0)
            while True:
                packet = wire.read()
                if packet.kind != PUBLISH:
                    continue
                publication = wire.publication(packet)
                if publication.topic == "kept/end":
                    break
                seen[publication.topic] = publication.payload
        for retainer in self.retainers:
            for topic in retainer.topics:
                history = retainer.sent[topic]
                last = max((i for i, (number, _) in enumerate(history) if number in retainer.acknowledged), default=-1)
                allowed = [payload for _, payload in history[max(last, 0) :]]
                value = seen.get(topic, b"")
                if value not in allowed and not (last < 0 and value == b""):
                    raise Finding(
                        f"{topic} keeps {value[:20]!r}, the last acknowledged is {history[last][0]}"
                        f" and later ones are {[number for number, _ in history[last + 1:]]}"
                    )
                del history[: max(last, 0)]
        self.counts["retained checked"] += expected

    def check_messages(self):
        """All sent, all arrived; then what was seen is compared and forgotten."""
        senders = [*self.publishers, *self.retainers]
        self.until("everything sent is answered", lambda: not any(publisher.open for publisher in senders))

        for publisher in self.publishers:  # the last of each, so that all before it has come
            publisher.act(burst=1)
        self.until(
            "the last of each arrived",
            lambda: not any(publisher.open for publisher in senders)
            and all(is_told(subscriber, self.publishers) for subscriber in self.subscribers),
        )
        for subscriber in self.subscribers:
            for publisher in self.publishers:
                compare(publisher, subscriber, self.counts)
            subscriber.arrived.clear()
        for publisher in self.publishers:
            self.counts["messages"] += len(publisher.acknowledged)
            self.counts["resent"] += publisher.resent
            publisher.acknowledged.clear()
            publisher.sent.clear()
            publisher.resent = 0
        self.counts["drains"] += 1

    # ------------------------------------------------------------------------------------------------ the run

    def round(self, number):
        dice = self.dice
        self.is_power_round = number % 2 == 1
        self.power.break_disk(sync_delay_us=dice.choice([0, 0, 1000, 5000]), lies=int(self.is_lying))
        if dice.random() < self.fault_share:
            self.counts["faults"] += 1
            self.power.break_disk(
                **dice.choice(
                    [
                        dict(sync_fails_in=dice.randint(0, 60), sync_fails_for=dice.randint(1, 4)),
                        dict(write_fails_in=dice.randint(0, 300), write_fails_for=dice.randint(1, 6)),
                        dict(space=dice.randint(0, 200_000)),
                    ]
                )
            )
        if dice.random() < 0.5:  # at a change of a file, rather than at a moment
            self.power.break_disk(dies_in=dice.randint(20, 1500))
        self.load(dice.uniform(0.1, 0.5))
        self.die()
        self.rise()
        for actor in self.actors:
            if actor in self.publishers or dice.random() < 0.7:
                self.come_back(actor, must=True)
        self.check_retained()
        self.check_subscriptions()
        if dice.random() < 0.35:
            self.check_messages()

    def run(self, rounds):
        began = time.monotonic()
        done = 0
        try:
            self.start()
            for subscriber in self.subscribers:
                subscriber.subscribe()
            for number in range(rounds):
                self.round(number)
                done += 1
                if done % 10 == 0:
                    self.say(self.story(done, began))
            self.check_messages()
            self.check_retained()
            self.say(self.story(done, began))
        except (Finding, AssertionError) as finding:
            self.counts["findings"] += 1
            raise Finding(
                f"{finding}\nround {done + 1} of QoS {self.qos}, seed {self.seed}, {self.story(done, began)}"
            ) from finding
        finally:
            self.node.clean_up()
        return self.counts

    def story(self, done, began):
        c = self.counts
        return (
            f"QoS {self.qos}: {done} rounds in {time.monotonic() - began:.0f} s, {c['kills']} kills and"
            f" {c['power cuts']} power cuts ({c['deaths in recovery']} in recovery, {c['faults']} with a failing disk,"
            f" {c['sectors lost']} of {c['sectors at risk']} unsynced sectors lost), {c['messages']} acknowledged messages"
            f" ({c['resent']} resends), {c['deliveries']} deliveries ({c['duplicates at QoS 1']} again at QoS 1),"
            f" {c['subscriptions checked']} subscriptions and {c['retained checked']} retained values right,"
            f" slowest start {self.slowest_start:.2f} s"
        )


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--qos", type=int, choices=[1, 2], action="append")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--faults", type=float, default=0.0, metavar="SHARE", help="rounds with a failing disk, 0 to 1")
    options = parser.parse_args()

    def work(qos, folder):
        Campaign(folder, qos, options.seed, say=command.say, fault_share=options.faults).run(options.rounds)

    command.run(options, "chaos", options.qos or [1, 2], work)


if __name__ == "__main__":
    main()

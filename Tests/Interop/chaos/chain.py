"""Chains of brokers under load, in which processes die and lines break at random: see `site_campaign.py`.

    chain.py --shape five --seconds 600 --seed 7

Clients sit at both ends and in the middle. Compared is:

- nothing that a node acknowledged is lost, whatever its quality;
- at QoS 2 between Drawbridges nothing comes twice;
- what one publisher sent comes in its order, by first arrival.

In the shape `mosquitto` the one in the middle is Debian's, and is ended by SIGTERM: it saves what it has promised when it is
asked to end, and not before. Across it QoS 2 may double, as its session may be gone. It also lets what arrives while a
subscriber returns overtake what it had queued for it: where a witness on both of its lines saw it take a publisher's
messages in order and send them in another, that is counted as its doing. Anything else is a finding.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brokers import Drawbridge, Mosquitto  # noqa: E402
from chaos import command  # noqa: E402
from chaos.comparing import compare  # noqa: E402
from chaos.site_campaign import Member, SiteCampaign, link  # noqa: E402
from chaos.witness import Witness, is_innocent  # noqa: E402

SHAPES = ["five", "mosquitto"]
RULES = '[[link.both]]\nfilter = "chain/#"'


class ChainCampaign(SiteCampaign):
    filter = "chain/#"

    def __init__(self, folder, shape, seed, say=print, link_settings=""):
        """`link_settings`: such that break a promise, to see whether the campaign finds it."""
        super().__init__(folder, shape, seed, say)
        self.link_settings = link_settings
        if shape == "five":
            names = ["n1", "n2", "n3", "n4", "n5"]
            brokers = [self.node("n5", [])]
            for name in reversed(names[:-1]):
                brokers.append(self.node(name, [self.line(brokers[-1].port)]))
            self.members = [Member(broker) for broker in reversed(brokers)]
            self.witnesses = {}
        else:
            hub = Mosquitto(self.folder, "hub", more="autosave_interval 0\n")
            self.witnesses = {"f": Witness(), "l": Witness()}
            sides = [self.node(n, [self.line(hub.port, w)]) for n, w in zip(("n1", "n2"), self.witnesses.values())]
            self.members = [Member(sides[0]), Member(hub), Member(sides[1])]
        first, middle, last = (self.members[at].broker for at in (0, len(self.members) // 2, -1))
        ends = [(first, "f"), (last, "l")]
        places = [*ends, (middle, "m")] if shape == "five" else ends
        self.inhabit(ends, places, lambda side, qos: [f"chain/{side}{qos}/{n}" for n in range(3)])

    def node(self, name, lines):
        links = "".join(link(line.port, f"next-{at}", self.link_settings, RULES) for at, line in enumerate(lines))
        return Drawbridge(self.folder, name, links=links, more=self.more)

    def judge(self, publisher, subscriber):
        if not self.witnesses:
            return compare(publisher, subscriber, self.counts)
        # Copies across a foreign broker are what its protocol gives.
        self.forgive_copies(publisher, subscriber)
        entry, exit = self.witnesses[publisher.name[0]], self.witnesses[subscriber.name[1]]
        is_overtaken = entry is not exit and is_innocent(publisher.name, entry, exit)
        compare(publisher, subscriber, self.counts, judges_order=not is_overtaken)
        self.counts["overtaken in mosquitto"] += is_overtaken

    def look(self):
        for witness in self.witnesses.values():
            witness.forget()

    def story(self):
        told = super().story()
        return told + (f", {self.counts['overtaken in mosquitto']} overtaken in mosquitto" if self.witnesses else "")


if __name__ == "__main__":
    command.storms(__doc__, "chain", SHAPES, ChainCampaign)

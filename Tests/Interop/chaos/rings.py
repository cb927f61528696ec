"""Rings and meshes of brokers under load, in which processes die and lines break at random: see `site_campaign.py`.

    rings.py --shape mesh --seconds 600 --seed 7

Everything goes everywhere by every way that there is:

- `ring`: three Drawbridges, each linked to the next;
- `mesh`: four Drawbridges, each linked to each other;
- `mixed`: two Drawbridges that are linked to each other, and both to Debian's mosquitto. Each sends there what was
  published at it, since mosquitto knows no marks and would take a message twice, and takes from there everything; the marks,
  which version 5 carries through, tell it what it has by the other way.

Compared is what `chain.py` compares, and that each node gets one copy of each message, and that nothing grows: when all is
quiet no message is left in any spool, and neither memory nor files become larger as time goes by. Storms in which lines break
are followed by those in which processes die as well: what a node knows of messages that come by a second way is in its memory,
so that such a copy may double over a kill, and only then.
"""

import pathlib
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brokers import Drawbridge, Mosquitto  # noqa: E402
from chaos import command  # noqa: E402
from chaos.actors import Finding  # noqa: E402
from chaos.comparing import compare  # noqa: E402
from chaos.site_campaign import Member, SiteCampaign, link  # noqa: E402
from test_auth import passwd  # noqa: E402

SHAPES = ["ring", "mesh", "mixed"]
LOGIN = 'username = "link"\npassword = "secret"\n'
MEMORY_MAX = 1.5, 48 << 20  # of what it was, and more than that


class RingCampaign(SiteCampaign):
    filter = "ring/#"

    def __init__(self, folder, shape, seed, say=print, believes=True):
        """`believes`: whether the nodes believe each other's marks, to see whether the campaign finds it."""
        super().__init__(folder, shape, seed, say)
        self.kills = False
        self.seen = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        users = self.folder / "users"
        passwd(users, "link", "secret")
        auth = f'[auth]\nanonymous = true\n{"links = [" + chr(34) + "link" + chr(34) + "]" if believes else ""}\n'
        self.access = f'{auth}[auth.users]\nfile = "{users}"\n'
        names = ["n1", "n2"] if shape == "mixed" else ["n1", "n2", "n3", "n4"][: 3 if shape == "ring" else 4]
        nodes = {name: Drawbridge(self.folder, name, links=self.access, more=self.more) for name in names}
        brokers = list(nodes.values())
        both = '[[link.both]]\nfilter = "ring/#"\n'
        if shape == "mixed":
            hub = Mosquitto(self.folder, "hub", more="autosave_interval 0\n")
            for name, node in nodes.items():
                rules = f'[[link.out]]\nfilter = "ring/{name}/#"\n[[link.in]]\nfilter = "ring/#"\n'
                self.connect(node, hub, "protocol = [5]\ntrust_ids = true\n", rules)
            self.connect(nodes["n1"], nodes["n2"], LOGIN, both + 'exclude = ["ring/hub/#"]\n')
            brokers.append(hub)
        else:
            for at, (name, node) in enumerate(nodes.items()):
                peers = [names[(at + 1) % 3]] if shape == "ring" else names[at + 1 :]
                for peer in peers:
                    self.connect(node, nodes[peer], LOGIN, both)
        self.members = [Member(broker) for broker in brokers]
        places = [(broker, broker.name) for broker in brokers]
        self.inhabit(places, places, lambda side, qos: [f"ring/{side}/{qos}/{n}" for n in range(3)])

    def connect(self, node, peer, more, rules):
        with node.config_file.open("a") as file:
            file.write(link(self.line(peer.port).port, f"to-{peer.name}", more, rules))

    # ------------------------------------------------------------------------------------------------ the checks

    def storm(self, seconds):
        self.has_died = self.kills
        super().storm(seconds)

    def judge(self, publisher, subscriber):
        if self.has_died:
            self.forgive_copies(publisher, subscriber)
        at, by = subscriber.name[1:-1], publisher.name[:-1]
        if self.shape == "mixed" and at != by and "hub" in (at, by):
            self.forgive_copies(publisher, subscriber)  # across a foreign broker
        # In mosquitto what is new overtakes what waited for a slow client, even from its own client to its own client.
        is_ordered = self.shape != "mixed" or at == by != "hub"
        compare(publisher, subscriber, self.counts, judges_order=is_ordered)

    def look(self):
        """Nothing is left, and nothing has grown."""
        self.until("all links have drained", lambda: all(map(self.is_drained, self.nodes)))
        for node in self.nodes:
            self.until(f"no message is left in the spool of {node.name}", lambda: self.rows(node) == 0)
            memory = self.memory(node)
            # A process that was killed begins anew; caches and buffers fill in the first storms.
            key = (node.name, node.pid)
            looks = self.seen.setdefault(key, [])
            looks.append(memory)
            if len(looks) > 4 and memory > max(looks[:4]) * MEMORY_MAX[0] + MEMORY_MAX[1]:
                raise Finding(f"{node.name} grows: {[look >> 20 for look in looks]} MiB of memory")
            self.counts["memory"] = max(self.counts["memory"], memory)
            self.counts["file"] = max(self.counts["file"], self.size(node))
        if self.counts["file"] > 1 << 30:
            raise Finding(f"a spool has {self.counts['file'] >> 20} MiB, with nothing in it")
        self.kills = not self.kills

    def is_drained(self, node):
        links = self.links(node)
        return links is not None and all(link["queued"] == 0 and link["state"] == "live" for link in links.values())

    @staticmethod
    def rows(node):
        with sqlite3.connect(f"file:{node.data}/spool.sqlite?mode=ro", uri=True) as spool:
            return spool.execute("SELECT count(*) FROM message").fetchone()[0]

    @staticmethod
    def size(node):
        return sum(file.stat().st_size for file in node.data.glob("spool.sqlite*"))

    @staticmethod
    def memory(node):
        for line in pathlib.Path(f"/proc/{node.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
        return 0

    def story(self):
        return (
            f"{super().story()}; no message left, at most {self.counts['memory'] >> 20} MiB of memory and"
            f" {self.counts['file'] >> 20} MiB of files a node"
        )


if __name__ == "__main__":
    command.storms(__doc__, "rings", SHAPES, RingCampaign)

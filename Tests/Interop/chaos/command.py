"""What the commands of the campaigns have in common: a seed, a folder that stays when something was found, and the end."""

import argparse
import pathlib
import signal
import sys
import tempfile
import time

from chaos.actors import Finding


def parser(title):
    options = argparse.ArgumentParser(description=title.split("\n")[0])
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--folder", help="keeps the data of a failing run there")
    return options


def say(line):
    print(line, flush=True)


def run(options, prefix, names, work):
    """Runs `work(name, folder)` for each name; ends the process, with 1 when there was a finding."""
    say(f"seed {options.seed}")
    status = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the nodes end with us
    for name in names:
        folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix=f"drawbridge-{prefix}-")) / str(name)
        try:
            work(name, folder)
        except Finding as finding:
            status = 1
            say(f"FINDING: {finding}\ndata kept in {folder}")
    sys.exit(status)


def storms(title, prefix, shapes, campaign):
    """The whole command of a campaign over sites: `campaign(folder, shape, seed, say).run(seconds)` for each shape."""
    arguments = parser(title)
    arguments.add_argument("--shape", choices=shapes, action="append")
    arguments.add_argument("--seconds", type=float, default=600)
    options = arguments.parse_args()

    def work(shape, folder):
        campaign(folder, shape, options.seed, say).run(options.seconds)

    run(options, prefix, options.shape or shapes, work)

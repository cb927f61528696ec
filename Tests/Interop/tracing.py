"""strace at a running broker: to see in which order it does things, and to kill it just before one of them.

How strace counts: `inject=fdatasync:signal=KILL:when=3` kills at the third fdatasync *of one thread*, when the call is
entered, so nothing of that call happens any more. Each thread counts for itself and from the moment of attaching.
Therefore a series of kills is made thread by thread: attached to that thread only, when=1, when=2 and so on until a
conversation gets through, which proves that every call of that thread in that conversation was hit once.
"""

import collections
import pathlib
import re
import signal
import subprocess

from brokers import program
from eventually import eventually

SOCKET_WRITES = ("write", "writev", "sendmsg", "sendto")
STORAGE = ("pwrite64", "fdatasync", "fsync")

Call = collections.namedtuple("Call", "thread name arguments result line")


class Strace:
    """`with Strace(pid, ["fdatasync"]) as strace`: traces all threads; with `thread` only that one; `kill_at` kills."""

    def __init__(self, pid, calls, folder, thread=None, kill_at=None, bytes_shown=32):
        self.output = pathlib.Path(folder) / "strace"
        self.errors = pathlib.Path(folder) / "strace.errors"
        self.output.unlink(missing_ok=True)
        command = [program("strace"), "-y", "-xx", "-s", str(bytes_shown), "-o", str(self.output)]
        command += ["-e", f"trace={','.join(calls)}"]
        command += ["-f", "-p", str(pid)] if thread is None else ["-p", str(thread)]
        if kill_at:
            command += ["-e", f"inject={','.join(calls)}:signal=KILL:when={kill_at}"]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stderr=errors, stdout=errors)
        eventually(
            lambda: f"strace attaches: {self.errors.read_text()}",
            lambda: "attached" in self.errors.read_text() or self.process.poll() is not None,
        )
        # With a kill in hand it may have struck already, at something left over from before.
        assert "attached" in self.errors.read_text(), f"strace: {self.errors.read_text()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.detach()

    def detach(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    @property
    def has_killed(self):
        """Whether a call was entered that never returned; the thread takes its last words with it."""
        return any(line.endswith("= ?") or "killed by SIGKILL" in line for line in self.lines())

    def lines(self):
        return self.output.read_text(errors="replace").splitlines()

    def events(self):
        """What happened, in order: `("begins" or "ends", Call)`; a call in one piece does both on one line."""
        events, open_calls = [], {}
        for number, line in enumerate(self.lines()):
            match = re.match(r"(?:(\d+) +)?(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$", line)
            if not match:
                continue
            thread, name, rest, resumed, tail = match.groups()
            if resumed:
                begun = open_calls.pop((thread, resumed), None)
                if begun:
                    events.append(("ends", begun._replace(arguments=begun.arguments + tail, line=number)))
                continue
            arguments, _, result = rest.rpartition(" = ")
            call = Call(thread, name, arguments or rest, result, number)
            events.append(("begins", call))
            if rest.endswith("<unfinished ...>"):
                open_calls[(thread, name)] = call
            else:
                events.append(("ends", call))
        return events

    def calls(self):
        return [call for what, call in self.events() if what == "begins"]


def hexadecimal(data):
    """How strace -xx shows these bytes."""
    return "".join(f"\\x{byte:02x}" for byte in data)

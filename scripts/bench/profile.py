#!/usr/bin/env python3
"""Where the broker's CPU time of one message goes, for pairs at each QoS, over WebSocket and over TLS: perf's samples by
the function that ran, grouped by what that function is for. Writes the tables into docs/benchmarks.md.

Inlined code counts for the function that it was inlined into, so the borders between NIO, codec and core are soft."""

import argparse
import collections
import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time

import document
from brokers import Broker, Programs

KINDS = {
    "QoS 0": ("pair -q 0", "tcp"),
    "QoS 1": ("pair -q 1", "tcp"),
    "QoS 2": ("pair -q 2", "tcp"),
    "WebSocket, QoS 1": ("pair -q 1", "ws"),
    "TLS, QoS 1": ("pair -q 1", "tls"),
}
BEGIN = "<!-- written by make profile: begin -->"
END = "<!-- written by make profile: end -->"
HOTTEST = 12

#: The first that matches decides. The pattern is tried on "object file, space, mangled name".
GROUPS = [
    ("kernel: sockets and system calls", r"^\[kernel|^\[unknown\]|^\[vdso\]|libc\S* (__libc_)?(read|write|writev|recv|send|epoll_|syscall)"),
    ("retain and release", r"swift_(\w*[rR]etain|\w*[rR]elease|isUnique|bridgeObject|setDealloc|weak|unowned)|RefCount|Unique(ly|Ref)"),
    ("exclusivity checks", r"swift_(begin|end)Access|AccessSet|__tls_get_addr|SwiftTLSContext"),
    ("allocation", r"malloc|free$|_int_free|calloc|cfree|swift_(slowAlloc|slowDealloc|allocObject|deallocClass|initStack)|allocateStorage"),
    ("copying bytes", r"mem(move|cpy|set|cmp)|[Cc]opyMemory"),
    ("TLS", r"BoringSSL|NIOSSL|aes_|gcm_|poly1305|chacha|ossl_|bssl|SSL_|CRYPTO_|EVP_"),
    ("SQLite and spool", r"sqlite|\$s5Spool|GRDB"),
    ("WebSocket framing", r"WebSocket"),
    ("codec", r"\$s9MQTTCodec"),
    ("core: sessions, routing, windows", r"\$s10BrokerCore"),
    ("NIO", r"\$s\d*(NIO|\d+NIO)|CNIO|\$s7NIOCore|\$s8NIOPosix"),
    ("server: handlers and turns", r"\$s12BrokerServer"),
    ("clocks", r"clock_gettime|DispatchTime|gettimeofday|\$s8Dispatch"),
    ("Swift's run time and library", r"libswift|libdispatch|libFoundation|\$s"),
    ("other", r""),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawbridge", required=True, help="path of the release binary")
    parser.add_argument("--seconds", type=float, default=4, help="for which each kind is sampled")
    options = parser.parse_args()
    if not shutil.which("perf"):
        sys.exit("profile: no perf here; apt-get install linux-perf")
    programs = Programs(options.drawbridge)
    try:
        profiles = {name: profile(programs, *kind, options.seconds) for name, kind in KINDS.items()}
    finally:
        programs.close()
    text = section(profiles)
    print(text)
    document.replace(BEGIN, END, text)
    return 0


@dataclasses.dataclass
class Profile:
    #: CPU µs per message.
    cost: float
    #: System calls per message; None where the kernel does not say.
    calls: float | None
    #: By function.
    samples: collections.Counter

    def groups(self) -> collections.Counter:
        counts = collections.Counter()
        for function, count in self.samples.items():
            counts[group(function)] += count
        return counts


def profile(programs: Programs, arguments: str, transport: str, seconds: float) -> Profile:
    """CPU µs per message, system calls per message, and samples by function."""
    with Broker("drawbridge", programs) as broker, tempfile.NamedTemporaryFile() as data:
        command = [programs.drawbridge, "bench", *arguments.split(), *broker.client_flags(transport), "-V", "4"]
        command += ["--pid", str(broker.pid), "--warm-up", "1", "--duration", str(seconds + 2), "--json", "--quiet"]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        subprocess.run(
            ["perf", "record", "-q", "-F", "1999", "-p", str(broker.pid), "-o", data.name, "--", "sleep", str(seconds)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        counted = subprocess.run(
            ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(broker.pid), "--", "sleep", "1"],
            capture_output=True,
            text=True,
        ).stderr
        report = json.loads(load.communicate()[0])
        lines = subprocess.run(
            ["perf", "script", "-i", data.name, "-F", "ip,sym,dso"], capture_output=True, text=True
        ).stdout.splitlines()
    samples = collections.Counter()
    for line in lines:
        # `    7f12 $s9MQTTCodec... (/path/drawbridge)`
        match = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line)
        if match:
            samples[match[2].rsplit("/", 1)[-1] + " " + match[1]] += 1
    calls = re.match(r"\d+", counted)
    calls_per_message = int(calls[0]) / report["received_per_second"] if calls else None
    return Profile(report["broker"]["cpu_seconds_per_million"], calls_per_message, samples)


def group(function: str) -> str:
    return next(name for name, pattern in GROUPS if re.search(pattern, function))


def section(profiles: dict[str, Profile]) -> str:
    lines = ["", "| CPU µs per message | " + " | ".join(profiles) + " |", "|---" * (len(profiles) + 1) + "|"]
    lines.append("| **all** | " + " | ".join(f"**{profile.cost:.2f}**" for profile in profiles.values()) + " |")
    groups = [(profile, profile.groups()) for profile in profiles.values()]
    for name, _ in GROUPS:
        cells = []
        for profile, counts in groups:
            part = counts[name] / max(1, profile.samples.total())
            cells.append(f"{profile.cost * part:.2f} ({part:.0%})" if part >= 0.005 else "")
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    calls = [f"{profile.calls:.3f}" if profile.calls else "" for profile in profiles.values()]
    lines.append("| *system calls per message* | " + " | ".join(calls) + " |")
    lines += ["", "The functions in which most of it is spent, themselves and what is inlined into them:", ""]
    for name, profile in profiles.items():
        lines += [f"    {name}"] + hottest(profile.samples) + [""]
    return "\n".join(lines[:-1]) + "\n"


def hottest(samples: collections.Counter) -> list[str]:
    top = [entry for entry in samples.most_common() if not entry[0].startswith("[kernel")][:HOTTEST]
    names = "\n".join(function.split(" ", 1)[1] for function, _ in top)
    readable = subprocess.run(
        ["swift", "demangle", "--compact", "--simplified"], input=names, capture_output=True, text=True
    ).stdout.splitlines()
    total = max(1, samples.total())
    return [f"    {count / total:6.1%}  {name[:100]}" for (_, count), name in zip(top, readable)]


if __name__ == "__main__":
    sys.exit(main())

"""A storm of logins beside a client that is connected: how long do its messages take meanwhile?

    python login_storm.py PATH_OF_DRAWBRIDGE [--logins 500] [--rounds 3]

starts a node with users, lets half of the logins be wrong, and prints the latencies of a connected client's messages
(QoS 0, publisher to subscriber over the node) before and during each storm.
"""

import argparse
import base64
import collections
import hashlib
import multiprocessing
import os
import pathlib
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time

from wire import CONNACK, CONNECT, PUBLISH, Wire, text, variable_length


def connect_packet(client_id, username, password, version=4):
    flags = 2 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    body = text("MQTT") + bytes([version, flags]) + struct.pack("!H", 0) + (b"\0" if version == 5 else b"")
    body += text(client_id)
    for part in (username, password):
        if part is not None:
            body += text(part)
    return bytes([CONNECT << 4]) + variable_length(len(body)) + body


def log_in(port, username=None, password=None, version=4, client_id=""):
    """A connection that sent CONNECT, and the code of its CONNACK."""
    wire = Wire(port, client_id, version=version, connect=False)
    wire.socket.sendall(connect_packet(client_id, username, password, version))
    answer = wire.read()
    assert answer.kind == CONNACK, answer
    return wire, answer.body[1]


def hashed(password, rounds_log=14):
    """What `drawbridge passwd` would write, made here since a storm needs hundreds of users."""
    salt = os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=1 << rounds_log, r=8, p=1, maxmem=1 << 28, dklen=32)
    plain = [base64.b64encode(part).decode().rstrip("=") for part in (salt, digest)]
    return f"$scrypt$ln={rounds_log},r=8,p=1${plain[0]}${plain[1]}"


def storm(port, logins, seconds=60):
    """All logins at once, each on a connection of its own: how many got which code, and how long the last one took.
    A connection that ended without CONNACK counts as None."""
    selector = selectors.DefaultSelector()
    start, codes = time.monotonic(), collections.Counter()
    waiting = {}
    for number, (username, password) in enumerate(logins):
        line = socket.socket()
        line.setblocking(False)
        line.connect_ex(("127.0.0.1", port))
        waiting[line] = connect_packet(f"storm-{number}", username, password)
        selector.register(line, selectors.EVENT_WRITE)
    while waiting and time.monotonic() - start < seconds:
        for key, events in selector.select(0.5):
            line = key.fileobj
            if events & selectors.EVENT_WRITE:
                line.send(waiting[line])
                selector.modify(line, selectors.EVENT_READ)
                continue
            try:
                answer = line.recv(64)
            except OSError:
                answer = b""
            codes[answer[3] if len(answer) >= 4 else None] += 1
            selector.unregister(line)
            line.close()
            del waiting[line]
    for line in waiting:
        line.close()
    codes["no answer"] += len(waiting)
    return codes, time.monotonic() - start


def probe(port, username, password, stop, results):
    """A client that is connected: sends itself a message every few milliseconds and notes how long it took."""
    wire, code = log_in(port, username, password, client_id="probe")
    assert code == 0, code
    wire.subscribe("probe", 0)
    latencies = []
    while not stop.is_set():
        start = time.monotonic()
        wire.publish("probe", b"x" * 32)
        assert wire.read(30).kind == PUBLISH
        latencies.append(time.monotonic() - start)
        time.sleep(0.002)
    results.put(latencies)


def while_probed(port, username, password, action):
    """Does something while a connected client is watched; the result and the sorted latencies in milliseconds."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    watcher = multiprocessing.Process(target=probe, args=(port, username, password, stop, results))
    watcher.start()
    try:
        time.sleep(0.5)  # so that the watcher is in before the storm
        result = action()
    finally:
        stop.set()
    latencies = sorted(1000 * each for each in results.get(timeout=60))
    watcher.join()
    return result, latencies


def percentile(latencies, share):
    return latencies[min(len(latencies) - 1, int(share * len(latencies)))]


def describe(latencies):
    return (
        f"{len(latencies)} messages, p50 {percentile(latencies, 0.5):.2f} ms, p99 {percentile(latencies, 0.99):.2f} ms, "
        f"max {latencies[-1]:.2f} ms"
    )


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("binary")
    options.add_argument("--logins", type=int, default=500)
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        names = [f"user-{number}" for number in range(options.logins // 2)]
        (folder / "users").write_text("".join(f"{name}:{hashed(name)}\n" for name in ["probe", *names]))
        (folder / "users").chmod(0o600)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (folder / "a.toml").write_text(
            f'[node]\ndata_dir = "{folder}/data"\n[log]\nlevel = "warning"\n[auth.users]\nfile = "users"\n'
            f'[[listener]]\nbind = ["127.0.0.1:{port}"]\n'
        )
        node = subprocess.Popen(
            [options.binary, "run", "--config", folder / "a.toml"], stdout=subprocess.PIPE, text=True
        )
        try:
            while node.stdout.readline().strip() != "ready":
                pass
            _, calm = while_probed(port, "probe", "probe", lambda: time.sleep(5))
            print("calm: ", describe(calm))
            for _ in range(options.rounds):
                logins = [login for name in names for login in ((name, name), (name, "wrong"))]
                (codes, seconds), latencies = while_probed(port, "probe", "probe", lambda: storm(port, logins))
                print(f"storm of {len(logins)} over in {seconds:.1f} s, CONNACK {dict(codes)}:", describe(latencies))
                time.sleep(61)  # until nobody is remembered
        finally:
            node.terminate()
            node.wait()


if __name__ == "__main__":
    sys.exit(main())

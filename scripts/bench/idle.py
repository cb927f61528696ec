"""What a connection takes that does nothing: clients subscribe to a topic each, wait, and the broker's resident memory is
read when all have come. One broker of a kind sees all counts one after the other, so that the slope shows too."""

import dataclasses
import signal
import subprocess
import time

from brokers import Broker, raise_file_limit
from rows import Faulty

SOURCES = ",".join(f"127.0.0.{number}" for number in range(1, 9))
#: At most these bytes each.
BARS = {"tcp": 5_000, "ws": 6_500, "tls": 28_000}
COUNTS = (5_000, 10_000, 19_000)
SETTLING_SECONDS = 1.5
PATIENCE_SECONDS = 120


@dataclasses.dataclass
class Idle:
    broker: str
    transport: str
    #: Resident bytes without a connection.
    start: int
    #: Resident bytes by the number of connections.
    resident: dict[int, int]

    def each(self, count: int) -> float:
        return (self.resident[count] - self.start) / count

    @property
    def slope(self) -> float:
        """Bytes of one connection more, from the smallest count to the largest."""
        return (self.resident[COUNTS[-1]] - self.resident[COUNTS[0]]) / (COUNTS[-1] - COUNTS[0])


def measure(name: str, transport: str, programs) -> Idle:
    clients = []
    with Broker(name, programs) as broker:
        try:
            time.sleep(SETTLING_SECONDS)
            idle = Idle(name, transport, broker.memory()["VmRSS"], {})
            sockets = broker.sockets()
            present = 0
            for count in COUNTS:
                clients.append(subscribers(broker, programs, transport, count - present, present))
                wait_for(broker, clients[-1], sockets + count)
                time.sleep(SETTLING_SECONDS)
                present = count
                idle.resident[count] = broker.memory()["VmRSS"]
            return idle
        finally:
            for client in clients:
                client.send_signal(signal.SIGKILL)
            for client in clients:
                client.wait()


def subscribers(broker: Broker, programs, transport: str, count: int, first: int) -> subprocess.Popen:
    command = [programs.drawbridge, "bench", "sub", "-c", str(count), "-n", str(first), "-t", "idle/%i", "-V", "4"]
    command += ["-k", "3600", "--ifaddr", SOURCES, "--quiet", *broker.client_flags(transport)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=raise_file_limit
    )


def wait_for(broker: Broker, client: subprocess.Popen, sockets: int):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while broker.sockets() < sockets:
        if client.poll() is not None:
            raise Faulty(f"{broker.name}: bench sub ends: {client.stderr.read().decode()}")
        if time.monotonic() > deadline:
            raise Faulty(f"{broker.name}: {broker.sockets()} of {sockets} sockets after {PATIENCE_SECONDS} s")
        time.sleep(0.1)


def start_up(name: str, programs) -> dict[str, int]:
    """Memory of a broker to which nobody has come."""
    with Broker(name, programs) as broker:
        time.sleep(2)
        return broker.memory()

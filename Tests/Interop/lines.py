"""Lines that fail without a word: an upstream that takes connections and is silent, and a proxy that becomes so."""

import contextlib
import select
import socket
import threading


class BlackHole:
    """Accepts every connection and never says anything."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.taken = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self.listener.accept()[0])

    def close(self):
        for connection in [self.listener, *self.taken]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class SilentLine(BlackHole):
    """A proxy to a broker. After `fall_silent` it reads what is sent and passes nothing on, and nobody is told; what comes
    later is taken all the same."""

    def __init__(self, port):
        self.upstream = port
        self.is_silent = threading.Event()
        super().__init__()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                self.taken.append(client)
                server = socket.create_connection(("127.0.0.1", self.upstream)) if not self.is_silent.is_set() else None
                threading.Thread(target=self.carry, args=(client, server), daemon=True).start()

    def carry(self, client, server):
        ways = {client: server}
        if server:
            ways[server] = client
        with contextlib.suppress(OSError):
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    data = source.recv(65536)
                    if self.is_silent.is_set():
                        if not data:
                            return
                        continue
                    if not data:
                        for end in ways:
                            end.shutdown(socket.SHUT_RDWR)
                        return
                    ways[source].sendall(data)

    def fall_silent(self):
        self.is_silent.set()

"""An HTTP proxy that knows CONNECT and nothing else, as firewalls have them: the only way out of a site.

It remembers who asked for what, and, where it is told names, resolves those that nobody else does.
"""

import base64
import socket
import threading

from brokers import free_port


class HTTPProxy:
    def __init__(self, login=None, names=None):
        self.port = free_port()
        self.login, self.names = login, names or {}
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True, name=f"proxy {self.port}").start()

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.listener.close()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        with near:
            head = b""
            while b"\r\n\r\n" not in head:
                more = near.recv(4096)
                if not more:
                    return
                head += more
            lines = head.decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            answer = self.judge(method, lines)
            self.asked.append((target, fields.get("host"), answer))
            if answer != 200:
                near.sendall(f"HTTP/1.1 {answer} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            name, port = target.rsplit(":", 1)
            try:
                far = socket.create_connection((self.names.get(name, name), int(port)), 5)
            except OSError:
                near.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            near.sendall(b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n")
            with far:
                back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
                back.start()
                self.pump(near, far)
                back.join()

    def judge(self, method, lines):
        if method != "CONNECT":
            return 405
        if self.login:
            wanted = "Proxy-Authorization: Basic " + base64.b64encode(self.login.encode()).decode()
            if wanted not in lines:
                return 407
        return 200

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

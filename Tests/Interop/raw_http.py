"""HTTP by hand: the bytes of a request as the test wrote them, and the replies read with the standard library."""

import base64
import collections
import http.client
import json
import os
import socket

Reply = collections.namedtuple("Reply", "status headers body")


class Line:
    """One TCP connection to the web port."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(15)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def reply(self, method="POST"):
        response = http.client.HTTPResponse(_Borrowed(self.file), method=method)
        response.begin()
        body = b"" if response.status == 101 else response.read()
        return Reply(response.status, response.headers, body)

    def is_closed(self):
        """Whether the other end closes now, with nothing more to say."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


class _Borrowed:
    """Lets HTTPResponse read from a file that stays open after it."""

    def __init__(self, file):
        self.file = file

    def makefile(self, mode):
        return self

    def __getattr__(self, name):
        return getattr(self.file, name)

    def close(self):
        pass


def request(port, method, target, body=b"", headers=(), host=None):
    """The bytes of a request; `headers` are added to Host and Content-Length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *headers]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(port, method, target, body=b"", headers=(), host=None):
    """One request on a connection of its own."""
    with Line(port) as line:
        line.send(request(port, method, target, body, headers, host))
        return line.reply(method)


def upgrade(port, path="/mqtt", headers=(), host=None):
    """The bytes of a WebSocket upgrade for MQTT."""
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    return request(port, "GET", path, headers=[*wanted, "Sec-WebSocket-Protocol: mqtt", *headers], host=host)


def told(reply):
    """The JSON of a reply."""
    return json.loads(reply.body)

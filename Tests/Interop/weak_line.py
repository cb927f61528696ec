"""A TCP line that a test can spoil: it delays, is cut, falls silent, or loses one end without telling the other.

Somebody dials `port` here and reaches `target` there. The line has a mood for what it carries and a word for who dials:

- `delay`: everything arrives so many seconds later, in order.
- `cut()`: both ends are told, by a reset, and whoever dials is sent away until `heal()`.
- `go_silent()`: connections stand and nothing moves in them; who dials is accepted and hears nothing. After `heal()`
  what waited arrives, as after a cable that was pulled and put back. `heal(forgets=True)` lets such connections be
  dead for ever without a word, as after a firewall that lost its state.
- `lose_far_end()`: the far end is told that the connection is over, the near end is not, and what it sends goes nowhere.
"""

import asyncio
import contextlib
import socket
import struct
import threading


class Pipe:
    """One direction of one connection."""

    def __init__(self, line, reader, writer, watch=None):
        self.line, self.reader, self.writer, self.watch = line, reader, writer, watch
        self.due = asyncio.Queue(64)  # (when, what); bounded, so that a slow end slows the other

    async def take(self):
        loop = asyncio.get_running_loop()
        try:
            while data := await self.reader.read(65536):
                await self.due.put((loop.time() + self.line.delay, data))
        finally:
            with contextlib.suppress(asyncio.QueueFull):
                self.due.put_nowait((loop.time(), b""))

    async def give(self):
        loop = asyncio.get_running_loop()
        while True:
            when, data = await self.due.get()
            if (wait := when - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self.line.moves.wait()
            if not data:
                return
            if self.watch:
                self.watch(data)
            self.writer.write(data)
            await self.writer.drain()


class Connection:
    def __init__(self, near, far):
        self.near, self.far, self.is_dead = near, far, False

    def reset(self, writer):
        wire = writer.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            # No lingering: the end hears a reset and not an orderly end.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


class WeakLine:
    """Runs on a loop of its own in a thread; its verbs may be called from any other thread and have worked on return."""

    def __init__(self, port, target, witness=None):
        """`witness`: sees what crosses the line, see `chaos/witness.py`."""
        self.port, self.target, self.delay, self.witness = port, target, 0.0, witness
        self.connections, self.is_cut, self.accepted = set(), False, 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True, name=f"line {port} to {target}")
        self.thread.start()
        self.call(self.open())

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def open(self):
        self.moves = asyncio.Event()
        self.moves.set()
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", self.port)

    async def accept(self, reader, writer):
        near = (reader, writer)
        self.accepted += 1
        if self.is_cut:
            return Connection(near, None).reset(writer)
        await self.moves.wait()  # silent: the system has accepted, and that is all
        try:
            far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return Connection(near, None).reset(writer)
        connection = Connection(near, far)
        self.connections.add(connection)
        there, back = self.witness.connection() if self.witness else (None, None)
        pipes = [Pipe(self, near[0], far[1], there), Pipe(self, far[0], near[1], back)]
        tasks = [asyncio.ensure_future(step()) for pipe in pipes for step in (pipe.take, pipe.give)]
        connection.tasks = tasks
        # When one direction has ended, so has the connection: MQTT has no use for half of one.
        await asyncio.wait([tasks[1], tasks[3]], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.connections.discard(connection)
        if not connection.is_dead:
            for _, end in (near, far):
                end.close()

    async def do_cut(self):
        self.is_cut = True
        for connection in list(self.connections):
            connection.is_dead = True
            for _, writer in (connection.near, connection.far):
                connection.reset(writer)
            for task in connection.tasks:
                task.cancel()
        self.moves.set()

    async def do_lose_far_end(self):
        for connection in list(self.connections):
            connection.is_dead = True
            for task in connection.tasks:
                task.cancel()
            connection.reset(connection.far[1])
            asyncio.ensure_future(self.swallow(connection))

    async def swallow(self, connection):
        """Until the near end gives up by itself."""
        reader, writer = connection.near
        await asyncio.gather(*connection.tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass
        writer.close()

    async def do_heal(self, forgets):
        if forgets:
            await self.do_lose_far_end()
        self.is_cut = False
        self.moves.set()

    async def do_close(self):
        self.server.close()
        await self.do_cut()

    async def do_silence(self):
        self.moves.clear()

    def cut(self):
        self.call(self.do_cut())

    def go_silent(self):
        self.call(self.do_silence())

    def lose_far_end(self):
        self.call(self.do_lose_far_end())

    def heal(self, forgets=False):
        self.delay = 0.0
        self.call(self.do_heal(forgets))

    def close(self):
        if self.loop.is_running():
            self.call(self.do_close())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)

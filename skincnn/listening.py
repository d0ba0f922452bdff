"""The ear of the service: uvicorn, which hangs up on who keeps it waiting.

uvicorn limits neither the time a request's head takes, nor its body, nor how long an answer may lie
unread: a few hundred clients that send a byte now and then would hold every connection.
"""

import asyncio
import ctypes
import json
import logging
import socket

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from skincnn.limits import MB, Limits

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
log = logging.getLogger("skincnn.service")


def protocol(limits: Limits) -> type[H11Protocol]:
    """The class uvicorn makes of each connection."""

    class Patience(H11Protocol):
        """A connection that ends when a stage of it takes too long."""

        _stage = None  # of which request what is awaited: ("head" | "body", the one before or it)
        _until = 0.0  # when that stage is over
        _timer = _unread = None

        def connection_made(self, transport):
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                log.info("too many connections: one was closed")
                transport.abort()
                return
            self._watch()

        def data_received(self, data):
            super().data_received(data)
            self._watch()

        def on_response_complete(self):
            # It begins the next request of a pipeline before it returns.
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc):
            super().connection_lost(exc)
            for timer in (self._timer, self._unread):
                if timer:
                    timer.cancel()

        def pause_writing(self):
            super().pause_writing()
            self._unread = self.loop.call_later(limits.silent_seconds, self._hang_up)

        def resume_writing(self):
            super().resume_writing()
            if self._unread:
                self._unread.cancel()

        def send_400_response(self, msg):
            body = json.dumps({"error": msg}).encode()
            head = [(b"content-type", b"application/json"), (b"connection", b"close")]
            head.append((b"content-length", str(len(body)).encode()))
            try:
                for event in (
                    h11.Response(status_code=400, headers=head, reason=b"Bad Request"),
                    h11.Data(data=body),
                    h11.EndOfMessage(),
                ):
                    self.transport.write(self.conn.send(event))
            except h11.LocalProtocolError:  # in the middle of an answer
                pass
            self.transport.close()

        def _watch(self):
            """Set the timer by what is awaited now; a stage's own clock starts once."""
            if self._timer:
                self._timer.cancel()
                self._timer = None
            awaited = {h11.IDLE: "head", h11.SEND_BODY: "body"}.get(self.conn.their_state)
            if awaited is None or self.transport.is_closing():
                self._stage = None
                return
            now = self.loop.time()
            # Until its head is whole a request is told by the one before it.
            if self._stage != (awaited, self.cycle):
                self._stage = (awaited, self.cycle)
                seconds = {"head": limits.head_seconds, "body": limits.body_seconds}[awaited]
                self._until = now + seconds
            left = self._until - now
            if awaited == "body":
                left = min(left, limits.silent_seconds)
            self._timer = self.loop.call_later(max(left, 0), self._hang_up)

        def _hang_up(self):
            log.info("a client took too long")
            self.transport.abort()

    return Patience


def config(app, host: str, port: int, limits: Limits) -> uvicorn.Config:
    """uvicorn's settings: no log of requests, no name of a server, no WebSockets."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol(limits),
        ws="none",
        log_level="error",  # a warning a bad request would let a client fill the log
        access_log=False,
        server_header=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=limits.head_bytes,
        backlog=limits.connections,
    )


async def serve(app, host: str, port: int, limits: Limits, ready=lambda address: None) -> None:
    """Answer until the process is told to end.

    Args:
        app: an ASGI application.
        host: an address of this machine.
        port: 0 for any that is free.
        limits: how long clients are waited for.
        ready: told the address once it is listened on.

    Raises:
        OSError: the port is taken or not allowed.
    """
    give_memory_back()
    settings = config(app, host, port, limits)
    server = uvicorn.Server(settings)
    listener = bound(host, port)
    number = listener.getsockname()[1]
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if server.started:
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{number}")
    await task


def give_memory_back() -> None:
    """Have the C library return large blocks at once. Left alone it learns from the first large
    photograph to keep such blocks, in every thread that has decoded one, for good."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    mallopt(_MMAP_THRESHOLD, 4 * MB)
    mallopt(_TRIM_THRESHOLD, 4 * MB)


def bound(host: str, port: int) -> socket.socket:
    """A socket of its own: uvicorn ends the process where it cannot have the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise OSError(f"{host}:{port} cannot be listened on: {reason}; try --port") from None
    return listener

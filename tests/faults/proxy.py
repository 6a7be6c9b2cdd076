"""Networks that misbehave: before an S3 endpoint, and before Postgres."""

import ctypes
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

Kind = Literal["error", "slow down", "reset", "answer lost", "hangs half way", "cut half way"]
_ANSWERS = {"error": (500, "InternalError"), "slow down": (503, "SlowDown")}


@dataclass
class Fault:
    """What happens to the first ``times`` requests of a method about keys that contain the text."""

    kind: Kind
    method: str
    about: str
    times: int = 1_000_000
    happened: int = 0


@dataclass
class S3Proxy:
    """Hands requests on to an S3 endpoint, except for what ``fault`` says."""

    behind: str
    fault: Fault | None = None
    url: str = ""
    _released: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Handle one request, as it should be or not."""
        if self._released.is_set():
            self._reset(request)
            return
        length = int(request.headers.get("Content-Length", 0))
        body = request.rfile.read(length)
        fault = self._fault_of(request)
        if fault and fault.kind in _ANSWERS:
            status, code = _ANSWERS[fault.kind]
            text = f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
            self._send(request, status, [("Content-Type", "text/xml")], text)
            return
        if fault and fault.kind == "reset":
            self._reset(request)
            return
        status, headers, text = self._ask(request, body)
        if fault and fault.kind == "answer lost":
            self._reset(request)
        elif fault:
            self._send(request, status, headers, text, only=len(text) // 2)
            if fault.kind == "hangs half way":
                self._released.wait(60)
            self._reset(request)
        else:
            self._send(request, status, headers, text)

    def _fault_of(self, request: BaseHTTPRequestHandler) -> Fault | None:
        fault = self.fault
        if fault is None or request.command != fault.method:
            return None
        if fault.about not in unquote(request.path) or fault.happened >= fault.times:
            return None
        fault.happened += 1
        return fault

    def _ask(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        parts = urlsplit(self.behind)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "expect"}
        try:
            connection.request(request.command, request.path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        only: int | None = None,
    ) -> None:
        request.send_response(status)
        skipped = {"content-length", "transfer-encoding", "connection", "date", "server"}
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in skipped:
                request.send_header(name, value)
        length = lengths[0] if request.command == "HEAD" and lengths else str(len(body))
        if status != 304:
            request.send_header("Content-Length", length)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body[:only])
        request.wfile.flush()

    @staticmethod
    def _reset(request: BaseHTTPRequestHandler) -> None:
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, for 0 seconds: RST instead of FIN
        with suppress(OSError):
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()
        request.close_connection = True

    @contextmanager
    def running(self) -> Iterator["S3Proxy"]:
        """Listen on a free port; afterwards, connections that were kept open are cut too."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(OSError, ValueError):
                    super().handle()

            def finish(self) -> None:
                with suppress(OSError, ValueError):
                    super().finish()

            def log_message(self, format: str, *args: object) -> None:
                pass

        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            setattr(Handler, f"do_{method}", lambda request: proxy.answer(request))

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self._released.set()
            server.shutdown()
            server.server_close()


_SO_ATTACH_FILTER = 26  # of Linux; Python does not name it


class _Filter(ctypes.Structure):
    """``struct sock_fprog``: a program of the classic packet filter, attached to a socket."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))
    _RETURN_0 = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))

    @classmethod
    def that_drops_all(cls) -> bytes:
        """One instruction: of every packet, keep 0 bytes."""
        return bytes(cls(1, ctypes.addressof(cls._RETURN_0)))


class TcpProxy:
    """Hands bytes on in both directions until it is frozen; sockets stay open then, as after a
    network that lost its way."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._flowing = {"up": threading.Event(), "down": threading.Event()}
        for flow in self._flowing.values():
            flow.set()
        self._clients: list[socket.socket] = []
        self._sockets: list[socket.socket] = []
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self, *directions: Literal["up", "down"]) -> None:
        """Keep what is sent in these directions: "down" is to the client."""
        for direction in directions:
            self._flowing[direction].clear()

    def vanish(self) -> None:
        """Nothing arrives any more, not even at the kernel: no byte is acknowledged, none refused.

        A packet filter that lets nothing through does it, which needs no rights.
        """
        self.freeze("up", "down")
        for one in (self._listener, *self._clients):
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _Filter.that_drops_all())

    def close(self) -> None:
        """Cut every connection."""
        self._closed = True
        for flow in self._flowing.values():
            flow.set()
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._behind))
            self._clients.append(client)
            self._sockets += [client, server]
            for source, target, direction in ((client, server, "up"), (server, client, "down")):
                given: Any = (source, target, self._flowing[direction])
                threading.Thread(target=self._hand_on, args=given, daemon=True).start()

    def _hand_on(
        self, source: socket.socket, target: socket.socket, flowing: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                flowing.wait()
                if self._closed:
                    return
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

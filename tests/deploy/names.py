"""A name server on loopback, as a container engine has one: names that come, move and go."""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

NO_SUCH_NAME = 3
HEADER = 12
A_RECORD, INTERNET = 1, 1


class Names(socketserver.ThreadingUDPServer):
    """Answers from ``addresses``, which may change at any time."""

    daemon_threads = True

    def __init__(self, addresses: Mapping[str, list[str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.addresses = dict(addresses)

    @property
    def address(self) -> str:
        """As nginx wants it."""
        host, port = self.socket.getsockname()
        return f"{host}:{port}"


class _Answer(socketserver.BaseRequestHandler):
    server: Names

    def handle(self) -> None:
        asked, reply_to = self.request
        end = asked.index(b"\0", HEADER) + 5
        question = asked[HEADER:end]
        found = self.server.addresses.get(_name(question), [])
        # An hour: whoever asks again earlier does so of its own accord.
        records = b"".join(
            struct.pack("!HHHIH", 0xC00C, A_RECORD, INTERNET, 3600, 4) + socket.inet_aton(address)
            for address in found
        )
        flags = 0x8180 | (0 if found else NO_SUCH_NAME)
        header = asked[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        reply_to.sendto(header + question + records, self.client_address)


def _name(question: bytes) -> str:
    labels, place = [], 0
    while length := question[place]:
        labels.append(question[place + 1 : place + 1 + length].decode())
        place += length + 1
    return ".".join(labels)


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Have a server of ``socketserver`` answer in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

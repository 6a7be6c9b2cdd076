"""Receivers of alerts that listen for real: an HTTP server and an SMTP server, good or bad.

Each keeps what it accepted. ``mood`` says how it behaves from now on, so that a test can break a
channel and mend it again.
"""

import datetime as dt
import email
import email.policy
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAP_SECONDS = 3.0
"""How long a mail server hangs; it then says that it did not take the mail."""

Mood = Literal["good", "broken", "hanging", "dripping", "redirecting", "deadly"]


class HttpListener:
    """``POST /services/S3CR3T`` as a webhook takes it."""

    def __init__(self) -> None:
        self.mood: Mood = "good"
        self.victim: int | None = None
        """The process that ``deadly`` kills once it has received a message."""
        self.received: list[Any] = []
        self.ids: list[str] = []
        self.asked = 0
        self.over = threading.Event()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                listener.answer(self)

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/S3CR3T"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.asked += 1
        if self.mood == "hanging":
            self.over.wait(60)
            return
        if self.mood == "dripping":
            for letter in "HTTP/1.1 200 OK\r\nX-Slow: " + "z" * 300:
                request.wfile.write(letter.encode())
                if self.over.wait(0.1):
                    return
        if self.mood in ("good", "deadly"):
            self.received.append(body)
            self.ids.append(request.headers["Idempotency-Key"])
        if self.mood == "deadly" and self.victim:
            os.kill(self.victim, signal.SIGKILL)
        status = {"broken": 500, "redirecting": 302}.get(self.mood, 200)
        request.send_response(status)
        if status == 302:
            request.send_header("Location", self.url)
        request.end_headers()

    @contextmanager
    def listening(self) -> Iterator["HttpListener"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class SmtpListener:
    """A mail server for one user, ``robot`` with the password ``S3CR3T p@ss``."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.mood: Mood = "good"
        self.refused: set[str] = set()
        """Recipients that it does not know."""
        self.received: list[EmailMessage] = []
        self.users: list[str] = []
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            server_hostname="localhost",
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=self._authenticate,
        )

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mood == "broken" or address in self.refused:
            return "550 no such mailbox at S3CR3T"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.mood == "hanging":
            time.sleep(NAP_SECONDS)
            return "451 it hung"
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.received.append(mail)
        return "250 OK"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and data == LoginPassword(b"robot", b"S3CR3T p@ss")
        if good:
            self.users.append("robot")
        return AuthResult(success=good, handled=False)

    @contextmanager
    def listening(self) -> Iterator["SmtpListener"]:
        self._controller.start()
        try:
            yield self
        finally:
            self._controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for ``localhost`` that vouches for itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "localhost.crt", folder / "localhost.key"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context

"""The channels that alerts leave by: a JSON webhook, a Slack-compatible webhook, mail by SMTP.

A channel sends one message once, within seconds, or says in ``ChannelError`` why not. When and how
often that is tried, and what a message says, is in ``scalecast_assets/alerting``. Addresses are
secrets (a Slack URL is a password): they are in no ``repr``, no error and no Dagster config, which
is why the channels are a plain object and no ``ConfigurableResource``.
"""

import http.client
import json
import re
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final, Literal, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

TIMEOUT_SECONDS: Final = 5.0
"""Of each wait for the other side; ``alerting/delivery.py`` bounds the sum of them."""

Security = Literal["none", "starttls", "tls"]

_SECURITY: Final[dict[str, Security]] = {"yes": "starttls", "no": "none"}
_PORTS: Final[dict[Security, int]] = {"none": 25, "starttls": 587, "tls": 465}
_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_ADDRESS: Final = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_CALLS_EVERYBODY: Final = re.compile(r"@(?=(?:all|channel|everyone|here)\b)", re.IGNORECASE)


class ChannelError(Exception):
    """The channel did not take the message. Says why, and never to which address."""


@dataclass(frozen=True)
class Message:
    """One message; ``message_id`` is the same each time it is sent, so that receivers can tell."""

    message_id: str
    title: str
    text: str
    document: Mapping[str, Any]
    """The same as JSON."""


class Channel(Protocol):
    """Something that takes messages."""

    @property
    def name(self) -> str:
        """What it is remembered by: not to be changed, or everything is sent once more."""
        ...

    def send(self, message: Message) -> str:
        """Send it; returns a remark for the log, mostly empty; raises ``ChannelError``."""
        ...


@dataclass(frozen=True)
class JsonWebhook:
    """POSTs ``Message.document`` to an address of the user's own."""

    url: str = field(repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    name: str = "webhook"

    def send(self, message: Message) -> str:
        """POST the document; ``Idempotency-Key`` is the message's id."""
        _post(self.url, message.document, message.message_id, self.timeout_seconds)
        return ""


@dataclass(frozen=True)
class SlackWebhook:
    """POSTs ``{"text": …}``, as Slack, Mattermost, Rocket.Chat and Discord's ``/slack`` take it."""

    url: str = field(repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    name: str = "slack"

    def send(self, message: Message) -> str:
        """POST title and text, in which a file's name can call nobody and link nowhere."""
        text = f"*{_harmless(message.title)}*\n{_harmless(message.text)}"
        _post(self.url, {"text": text}, message.message_id, self.timeout_seconds)
        return ""


@dataclass(frozen=True)
class SmtpServer:
    """Mails through a server, to a list of recipients."""

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    security: Security = "none"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    name: str = "smtp"

    @classmethod
    def from_url(cls, url: str) -> "SmtpServer":
        """Read ``smtp://user:password@host:port?from=a@b.c&to=d@e.f,g@h.i&starttls=yes``.

        ``smtps://`` is TLS from the first byte. With a password ``starttls`` is yes: only after an
        explicit no is it sent in the clear. Raises ``ValueError``, which does not show the URL.
        """
        parts = _split(url, "smtp", "smtps")
        options = parse_qs(parts.query, keep_blank_values=True)
        if unknown := sorted(set(options) - {"from", "to", "starttls"}):
            raise ValueError(f"option {unknown[0]!r} is unknown; there are from, to and starttls")
        senders = options.get("from", [])
        recipients = [a.strip() for to in options.get("to", []) for a in to.split(",")]
        if len(senders) != 1 or not recipients or not all(map(_is_address, senders + recipients)):
            raise ValueError("expected ?from=address&to=address,address with bare addresses")
        security = _security(parts.scheme, options.get("starttls"), has_user=bool(parts.username))
        return cls(
            host=parts.hostname or "",
            port=parts.port or _PORTS[security],
            sender=senders[0],
            recipients=tuple(recipients),
            security=security,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def send(self, message: Message) -> str:
        """Hand the mail over; it counts as sent when the server takes it for any recipient."""
        mail = EmailMessage()
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Subject"] = " ".join(message.title.split())
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.message_id}@{self.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        with _explained(self.timeout_seconds), self._connected() as server:
            refused = server.send_message(mail, self.sender, list(self.recipients))
        return f"{len(refused)} of {len(self.recipients)} recipients refused" if refused else ""

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=self.timeout_seconds, context=context
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
            yield server
            # The mail is taken; whatever comes now must not have it sent a second time.
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            server.close()


class AlertChannels:
    """The channels that are configured, as a Dagster resource (``dg.ResourceParam``)."""

    def __init__(self, *channels: Channel) -> None:
        self._channels = channels

    @classmethod
    def from_urls(
        cls,
        *,
        webhook_url: str | None = None,
        slack_url: str | None = None,
        smtp_url: str | None = None,
    ) -> "AlertChannels":
        """Open those that have an address; raises ``ValueError`` naming the bad argument."""
        channels: list[Channel] = []
        for argument, url, make in (
            ("webhook_url", webhook_url, _webhook),
            ("slack_url", slack_url, _slack),
            ("smtp_url", smtp_url, SmtpServer.from_url),
        ):
            if url:
                try:
                    channels.append(make(url))
                except ValueError as error:
                    raise ValueError(f"{argument}: {error}") from None
        return cls(*channels)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels)

    @property
    def names(self) -> list[str]:
        """What the channels are remembered by."""
        return [channel.name for channel in self._channels]


def _webhook(url: str) -> Channel:
    _split(url, "http", "https")
    return JsonWebhook(url)


def _slack(url: str) -> Channel:
    _split(url, "http", "https")
    return SlackWebhook(url)


def _split(url: str, *schemes: str) -> SplitResult:
    """Take the URL apart; raises ``ValueError`` that does not show it."""
    wanted = f"expected {schemes[-1]}://host/…"
    if not url.isascii() or _BLANK.search(url):
        raise ValueError(f"{wanted}, found blanks or characters outside ASCII; percent-encode them")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{wanted}, found a host or port that cannot be read") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{wanted}, found another scheme or no host")
    if "@" in parts.netloc and "http" in schemes:
        raise ValueError(f"{wanted}, found a user name in it, which webhooks are not sent")
    return parts


def _is_address(text: str) -> bool:
    return _ADDRESS.fullmatch(text) is not None


def _security(scheme: str, starttls: list[str] | None, *, has_user: bool) -> Security:
    if scheme == "smtps":
        if starttls is not None:
            raise ValueError("smtps:// is TLS from the first byte; starttls is for smtp://")
        return "tls"
    if starttls is None:
        return "starttls" if has_user else "none"
    if len(starttls) != 1 or starttls[0] not in _SECURITY:
        raise ValueError("expected starttls=yes or starttls=no")
    return _SECURITY[starttls[0]]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET, which delivers nothing and is answered 200."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, document: Mapping[str, Any], message_id: str, timeout_seconds: float) -> None:
    request = urllib.request.Request(
        url,
        data=json.dumps(document, allow_nan=False).encode(),
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "scalecast",
            "Idempotency-Key": message_id,
        },
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect)
    with _explained(timeout_seconds), opener.open(request, timeout=timeout_seconds):
        pass  # the status says it all: another than 2xx raises


@contextmanager
def _explained(timeout_seconds: float) -> Iterator[None]:
    """Say what went wrong in our own words: libraries put addresses and answers into theirs."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise ChannelError(f"it answered with HTTP status {error.code}") from None
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise ChannelError(f"it refused every recipient (SMTP status {code})") from None
    except smtplib.SMTPResponseException as error:
        kind = type(error).__name__.removeprefix("SMTP")
        raise ChannelError(f"it answered with SMTP status {error.smtp_code} ({kind})") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError) or isinstance(error.__context__, TimeoutError):
            raise ChannelError(f"no answer within {timeout_seconds:g} s") from None
        reason = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None)
        raise ChannelError(str(reason or type(cause).__name__)) from None


def _harmless(text: str) -> str:
    """Escape what Slack reads as a link or a mention, and what its kin read as one."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _CALLS_EVERYBODY.sub("@\N{ZERO WIDTH SPACE}", escaped)

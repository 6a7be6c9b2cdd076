"""The channels: what arrives at real listeners, and how each says no without its address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.resources.alerts import (
    AlertChannels,
    Channel,
    ChannelError,
    JsonWebhook,
    Message,
    SlackWebhook,
    SmtpServer,
)
from tests.alert_listeners import HttpListener, Mood, SmtpListener, free_port, make_certificate

MESSAGE = Message(
    "alert-7-raised",
    "ScaleCast: File refused: raw/März.csv",
    "What: price_is_positive\nFile: raw/März.csv",
    {"kind": "file_refused", "files": ["raw/März.csv"]},
)
OPTIONS = "from=scalecast@shop.example&to=ops@shop.example,data@shop.example"


@pytest.fixture
def http() -> Iterator[HttpListener]:
    with HttpListener().listening() as listener:
        yield listener


@pytest.fixture
def smtp() -> Iterator[SmtpListener]:
    with SmtpListener().listening() as listener:
        yield listener


def mail_server(listener: SmtpListener, more: str = "") -> SmtpServer:
    return SmtpServer.from_url(f"smtp://127.0.0.1:{listener.port}?{OPTIONS}{more}")


def refusal(channel: Channel) -> str:
    with pytest.raises(ChannelError) as refused:
        channel.send(MESSAGE)
    assert refused.value.__cause__ is None
    assert "S3CR3T" not in str(refused.value)
    return str(refused.value)


def test_the_webhook_receives_the_document_and_the_id_of_the_message(http: HttpListener) -> None:
    assert JsonWebhook(http.url).send(MESSAGE) == ""
    assert http.received == [MESSAGE.document]
    assert http.ids == ["alert-7-raised"]


def test_slack_receives_title_and_text(http: HttpListener) -> None:
    SlackWebhook(http.url).send(MESSAGE)
    assert http.received == [
        {
            "text": "*ScaleCast: File refused: raw/März.csv*\n"
            "What: price_is_positive\nFile: raw/März.csv"
        }
    ]


def test_a_file_name_calls_nobody_and_links_nowhere_in_slack(http: HttpListener) -> None:
    evil = "raw/<!channel> <https://evil.example|a&b> @here @Channel ops@shop.example.csv"
    SlackWebhook(http.url).send(Message("1", "t", evil, {}))
    assert http.received[0]["text"].split("\n")[1] == (
        "raw/&lt;!channel&gt; &lt;https://evil.example|a&amp;b&gt; @\u200bhere @\u200bChannel "
        "ops@shop.example.csv"
    )


def test_mail_arrives_with_sender_recipients_subject_body_and_a_lasting_id(
    smtp: SmtpListener,
) -> None:
    server = mail_server(smtp)
    server.send(MESSAGE)
    server.send(MESSAGE)
    first, second = smtp.received
    assert first["From"] == "scalecast@shop.example"
    assert first["To"] == "ops@shop.example, data@shop.example"
    assert first["Subject"] == MESSAGE.title
    assert first.get_content().splitlines() == MESSAGE.text.splitlines()
    assert first["Message-ID"] == second["Message-ID"] == "<alert-7-raised@shop.example>"
    assert first["Auto-Submitted"] == "auto-generated"


def test_a_title_cannot_add_a_header_to_a_mail(smtp: SmtpListener) -> None:
    mail_server(smtp).send(Message("1", "file\r\nBcc: all@shop.example", "text", {}))
    assert smtp.received[0]["Subject"] == "file Bcc: all@shop.example"
    assert smtp.received[0]["Bcc"] is None


def test_a_password_travels_inside_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with SmtpListener(context).listening() as listener:
        SmtpServer.from_url(
            f"smtp://robot:S3CR3T%20p%40ss@localhost:{listener.port}?{OPTIONS}"
        ).send(MESSAGE)
        assert listener.users == ["robot"]
        assert len(listener.received) == 1


def test_a_server_that_nobody_vouches_for_gets_no_password(tmp_path: Path) -> None:
    _, context = make_certificate(tmp_path)
    with SmtpListener(context).listening() as listener:
        channel = SmtpServer.from_url(f"smtp://robot:S3CR3T@localhost:{listener.port}?{OPTIONS}")
        assert "self-signed certificate" in refusal(channel)
        assert listener.users == []


def test_a_server_without_tls_gets_no_password_unless_the_url_says_so(smtp: SmtpListener) -> None:
    url = f"smtp://robot:S3CR3T%20p%40ss@127.0.0.1:{smtp.port}?{OPTIONS}"
    assert refusal(SmtpServer.from_url(url)) == "SMTPNotSupportedError"
    assert smtp.received == []


def test_a_wrong_password_is_an_error_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, context = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with SmtpListener(context).listening() as listener:
        channel = SmtpServer.from_url(f"smtp://robot:S3CR3T@localhost:{listener.port}?{OPTIONS}")
        assert refusal(channel) == "it answered with SMTP status 535 (AuthenticationError)"


@pytest.mark.parametrize(
    ("mood", "expected"), [("broken", "HTTP status 500"), ("redirecting", "HTTP status 302")]
)
@pytest.mark.parametrize("kind", [JsonWebhook, SlackWebhook])
def test_another_status_than_success_is_an_error(
    http: HttpListener, mood: Mood, expected: str, kind: type[JsonWebhook] | type[SlackWebhook]
) -> None:
    http.mood = mood
    assert expected in refusal(kind(http.url))


def test_a_webhook_that_hangs_is_given_up() -> None:
    with HttpListener().listening() as listener:
        listener.mood = "hanging"
        assert refusal(JsonWebhook(listener.url, 0.3)) == "no answer within 0.3 s"


def test_a_mail_server_that_hangs_is_given_up(smtp: SmtpListener) -> None:
    smtp.mood = "hanging"
    channel = SmtpServer(
        "127.0.0.1", smtp.port, "a@shop.example", ("b@shop.example",), timeout_seconds=0.3
    )
    assert refusal(channel) == "no answer within 0.3 s"


def test_where_nobody_listens_the_error_says_so() -> None:
    port = free_port()
    assert "refused" in refusal(JsonWebhook(f"http://127.0.0.1:{port}/S3CR3T"))
    assert "refused" in refusal(SmtpServer.from_url(f"smtp://127.0.0.1:{port}?{OPTIONS}"))


def test_a_host_that_does_not_exist_is_an_error_without_its_name() -> None:
    reason = refusal(JsonWebhook("http://S3CR3T.invalid/x"))
    assert "invalid" not in reason


def test_a_mail_that_every_recipient_is_refused_for_is_an_error(smtp: SmtpListener) -> None:
    smtp.mood = "broken"
    assert refusal(mail_server(smtp)) == "it refused every recipient (SMTP status 550)"


def test_a_mail_that_some_recipients_are_refused_for_is_sent_with_a_remark(
    smtp: SmtpListener,
) -> None:
    smtp.refused = {"ops@shop.example"}
    assert mail_server(smtp).send(MESSAGE) == "1 of 2 recipients refused"
    assert len(smtp.received) == 1


def test_channels_are_those_with_an_address() -> None:
    assert AlertChannels.from_urls().names == []
    assert AlertChannels.from_urls(slack_url="", webhook_url=None).names == []
    channels = AlertChannels.from_urls(
        webhook_url="https://a.example/x",
        slack_url="https://b.example/y",
        smtp_url=f"smtp://c.example?{OPTIONS}",
    )
    assert channels.names == ["webhook", "slack", "smtp"]


@pytest.mark.parametrize(
    ("url", "port", "security"),
    [
        ("smtp://mail.example", 25, "none"),
        ("smtp://u:p@mail.example", 587, "starttls"),
        ("smtp://u:p@mail.example:2525", 2525, "starttls"),
        ("smtps://u:p@mail.example", 465, "tls"),
        ("smtp://u:p@mail.example?starttls=no", 25, "none"),
        ("smtp://mail.example?starttls=yes", 587, "starttls"),
    ],
)
def test_tls_and_port_follow_from_the_url(url: str, port: int, security: str) -> None:
    server = SmtpServer.from_url(f"{url}{'&' if '?' in url else '?'}{OPTIONS}")
    assert (server.port, server.security) == (port, security)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("webhook_url", "ftp://S3CR3T.example/x"),
        ("webhook_url", "S3CR3T"),
        ("webhook_url", "https:///S3CR3T"),
        ("webhook_url", "https://a.example:S3CR3T/"),
        ("webhook_url", "https://a.example/S3CR3T x"),
        ("webhook_url", "https://user:S3CR3T@a.example/"),
        ("slack_url", "https://a.example/S3CR3T\n"),
        ("slack_url", "file:///S3CR3T"),
        ("smtp_url", f"http://S3CR3T.example?{OPTIONS}"),
        ("smtp_url", "smtp://u:S3CR3T@a.example"),
        ("smtp_url", "smtp://u:S3CR3T@a.example?from=a@b.c"),
        ("smtp_url", "smtp://u:S3CR3T@a.example?from=a@b.c&to=d@e.f,"),
        ("smtp_url", "smtp://u:S3CR3T@a.example?from=A%20<a@b.c>&to=d@e.f"),
        ("smtp_url", f"smtp://u:S3CR3T@a.example?{OPTIONS}&starttls=maybe"),
        ("smtp_url", f"smtps://u:S3CR3T@a.example?{OPTIONS}&starttls=yes"),
        ("smtp_url", f"smtp://u:S3CR3T@a.example?{OPTIONS}&tls=yes"),
    ],
)
def test_a_bad_address_is_an_error_that_names_the_argument_and_hides_the_address(
    name: str, url: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name}: ") as refused:
        AlertChannels.from_urls(**{name: url})
    assert "S3CR3T" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_no_channel_shows_its_secret() -> None:
    channels = AlertChannels.from_urls(
        webhook_url="https://a.example/S3CR3T",
        slack_url="https://b.example/S3CR3T",
        smtp_url=f"smtp://S3CR3T:S3CR3T@c.example?{OPTIONS}",
    )
    shown = " ".join(map(repr, channels)) + repr(channels) + str(list(channels))
    assert "S3CR3T" not in shown

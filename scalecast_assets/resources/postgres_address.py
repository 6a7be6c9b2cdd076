"""A Postgres database taken out of its URL, so that each library can be told of it in its own way.

psycopg and ADBC (libpq), SQLAlchemy and dbt's profile read three different things out of one URL.
What one of them cannot be told is refused here by name instead of being dropped. Nothing connects;
the server that ScaleCast brings along is ``embedded_postgres.py``'s.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

HANDED_ON: Final = (
    "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "keepalives_idle",
)  # fmt: skip
"""Options that all of the libraries can be told."""

PATIENCE: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "120000",
}
"""How long a connection waits for a network that has silently gone: two minutes (the last one, in
milliseconds, goes over the count on Linux). dbt knows the first two only, and waits for twelve.

Two minutes and not less: a server that is alive but does not read for so long, as in a checkpoint
on a slow disk, is given up, too."""

SERVERS_PATIENCE: Final = " ".join(
    f"-c tcp_keepalives_{name}={PATIENCE[f'keepalives_{name}']}"
    for name in ("idle", "interval", "count")
)
"""The same for the server's side, as PGOPTIONS, which libpq hands on for everybody: so long does a
client that has silently gone keep its locks. The system's own default is two hours."""

PSYCOPG2: Final = "+psycopg2"
"""The driver that Dagster and dbt bring, in SQLAlchemy's spelling."""

_SCHEMES: Final = ("postgresql", "postgres", f"postgresql{PSYCOPG2}")
_EXPECTED: Final = "expected postgresql://user:password@host:port/database"


@dataclass(frozen=True)
class PostgresAddress:
    """One database of one server; printing it shows no password."""

    host: str
    """A name, an IP address, the folder of a Unix socket, or empty: the usual socket."""
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    options: dict[str, str]

    @classmethod
    def parse(cls, url: str, options: Collection[str] = (*HANDED_ON, *PATIENCE)) -> Self:
        """Read a URL as libpq does; its query may hold the place, and ``options``.

        Raises:
            ValueError: saying what cannot be used. The message never repeats the URL, for it has
                a password in it.
        """
        try:
            parts = urlsplit(url)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            port = int(query.pop("port", "") or parts.port or 5432)
        except ValueError:
            raise ValueError(
                f"{_EXPECTED}, with %40 for an @ in the password, %2F for a /"
            ) from None
        if parts.scheme not in _SCHEMES or parts.fragment or {"@", "/"} & set(parts.path[1:]):
            raise ValueError(f"{_EXPECTED}, with %40 for an @ in the password, %2F for a /")
        if "," in parts.netloc.rpartition("@")[2] + query.get("host", ""):
            raise ValueError("several hosts cannot be handed on to dbt; name one")
        in_front = {"host": parts.hostname, "user": parts.username, "password": parts.password}
        place = {name: query.pop(name, unquote(part or "")) for name, part in in_front.items()}
        database = query.pop("dbname", unquote(parts.path[1:]))
        if not database:
            raise ValueError(f"{_EXPECTED}, found no database in it")
        if unknown := sorted(set(query) - set(options)):
            raise ValueError(
                f"the option {unknown[0]!r} cannot be handed on to dbt and SQLAlchemy; take it "
                f"out (these can be: {', '.join(dict.fromkeys(options))})"
            )
        return cls(**place, port=port, database=database, options=query)

    def patient(self) -> Self:
        """The same, which waits as long as ``PATIENCE`` says where the URL does not say it."""
        return replace(self, options=PATIENCE | self.options)

    def url(self, driver: str = "", **more: str) -> str:
        """Write the URL for libpq, or with a ``driver`` for SQLAlchemy; with ``more`` options.

        A socket's folder stands in the query, and so does, for SQLAlchemy, a database whose name
        has to be quoted: it does not decode the path.
        """
        query = {}
        path = quote(self.database, safe="")
        if driver and path != self.database:
            path, query["dbname"] = "", self.database
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"{host}:{self.port}"
        if not host or host.startswith("/"):
            place, query["port"] = "", str(self.port)
            query |= {"host": host} if host else {}
        password = f":{quote(self.password, safe='')}" if self.password else ""
        account = f"{quote(self.user, safe='')}{password}@" if self.user or password else ""
        asked = urlencode(query | self.options | more, quote_via=quote)
        return f"postgresql{driver}://{account}{place}/{path}{'?' if asked else ''}{asked}"

    def __str__(self) -> str:
        """Where it is, for messages."""
        return f"{self.host or 'the local socket'}:{self.port}/{self.database}"

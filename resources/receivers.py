"""Who is told of failures: webhooks, mail, files; each named by a URL.

    https://hooks.centre.example/T0/B0                              a POST with the message as JSON
    smtp://user:password@mail.centre.example:587?to=a@b.example     a mail to each address of `to`, separated by commas
    file:///var/log/groundtrack/failures.jsonl                      a line of JSON

`smtp` uses TLS where the server offers it, and never sends a password without; `smtps` is TLS from the start.
"""

import base64
import hashlib
import json
import os
import re
import smtplib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.error import HTTPError
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from platform_assets.common.errors import ConfigurationError, TransientError

_TIMEOUT_S = 10.0
_BUSY = frozenset({408, 425, 429})
_SMTP_PORT, _SMTPS_PORT = 25, 465
_ADDRESS = re.compile(r"[^\s@<>,]+@[^\s@<>,]+")

Message = Mapping[str, Any]


class Undelivered(TransientError):
    """A receiver did not take a message."""

    code = "undelivered"
    remedy = "Nothing: it is tried again by itself. If it persists, correct the receiver's address: GROUNDTRACK_FAILURE_RECEIVERS."


class Unreachable(Undelivered):
    """A receiver takes no messages at present."""

    code = "receiver_unreachable"


class Receiver(Protocol):
    """Somebody who takes messages."""

    @property
    def id(self) -> str:
        """What tells it from others; the same in every process."""

    @property
    def shown(self) -> str:
        """Its address without secrets."""

    def deliver(self, message: Message) -> None:
        """Hand over a message.

        Raises:
            Undelivered: It was not taken.
            Unreachable: Nor would any other be.
        """


@dataclass(frozen=True)
class Webhook:
    """An HTTP address.

    Attributes:
        url: Where to post; it may be a secret as a whole.
        authorization: The header's value; empty for none.
    """

    url: str = field(repr=False)
    authorization: str = field(default="", repr=False)

    @property
    def id(self) -> str:
        """Made of the address alone."""
        return _id(self.url)

    @property
    def shown(self) -> str:
        """Scheme and host: the rest is often a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/…"

    def deliver(self, message: Message) -> None:
        """Post it; any answer of 200 to 299 means that it was taken."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": message["conversationId"]}
        if self.authorization:
            headers["Authorization"] = self.authorization
        request = Request(self.url, json.dumps(message).encode(), headers)  # noqa: S310 - its scheme is checked where it is parsed
        try:
            with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S):
                pass
        except HTTPError as error:
            with error:
                kind = Unreachable if error.code >= 500 or error.code in _BUSY else Undelivered
                raise kind(f"{self.shown} answered {error.code} {error.reason}") from None
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{self.shown} did not answer: {getattr(error, 'reason', None) or error!r}") from None


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirection for an error: the message would be lost, as what follows is a GET."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str) -> None:  # noqa: ARG002
        return None


@dataclass(frozen=True)
class Mail:
    """An address of mail.

    Attributes:
        host: The mail server.
        port: Its port.
        to: Whom to write to.
        sender: Who writes.
        tls: Whether the connection begins with TLS.
        user: To log in with; empty for none.
        password: To log in with.
    """

    host: str
    port: int
    to: str
    sender: str
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def id(self) -> str:
        """Made of the address alone."""
        return _id(f"mailto:{self.to}")

    @property
    def shown(self) -> str:
        """The address, and the server that takes mail for it."""
        return f"{self.to} by {self.host}:{self.port}"

    def deliver(self, message: Message) -> None:
        """Hand it to the server, which then answers for it."""
        try:
            with self._connected() as server:
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(self._mail(message))
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise Undelivered(f"{self.shown} refused it: {error}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise Unreachable(f"{self.shown} did not answer: {error}") from None

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.tls:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=context)
        if not self.user:
            # As mail servers do among themselves: whatever certificate there is beats none.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        server = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
        elif self.user:
            server.close()
            raise Unreachable(f"{self.shown}: the server offers no TLS, and a password is not sent without")
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self.sender, self.to
        number = message["recipeRunId"]
        which = "" if number is None else f" (recipe run {number})"
        mail["Subject"] = f"{message['workflowName']} {message['workflowVersion']}: {message['taskName'] or 'run'} failed{which}"
        # A mail that is sent twice is shown once.
        mail["Message-ID"] = f"<{message['conversationId']}@groundtrack>"
        lines = "\n".join(f"{name}: {value}" for name, value in message.items() if name != "text" and value is not None)
        mail.set_content(f"{message['text']}\n\n{lines}\n")
        return mail


@dataclass(frozen=True)
class LogFile:
    """A file that gets a line a message.

    Attributes:
        path: The file; made, with its folder, when it is first needed.
    """

    path: Path

    @property
    def id(self) -> str:
        """Made of the address alone."""
        return _id(self.path.as_uri())

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    def deliver(self, message: Message) -> None:
        """Append it, and wait until it is on the disk."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
                os.fsync(file.fileno())
        except OSError as error:
            raise Unreachable(f"{self.shown}: {error}") from error


def parse_receivers(text: str) -> tuple[Receiver, ...]:
    """Return the receivers that URLs name, separated by white space.

    Raises:
        ConfigurationError: One is none; the message says which by its number, as it may be a secret.
    """
    found: list[Receiver] = []
    for number, url in enumerate(text.split(), 1):
        try:
            found += _parse(url)
        except ValueError as error:
            # Others' errors quote what they do not understand.
            why = str(error) if isinstance(error, _NoReceiver) else "it is no URL"
            raise ConfigurationError(
                f"number {number} is no receiver: {why}",
                remedy="Give GROUNDTRACK_FAILURE_RECEIVERS as https://…, smtp://host?to=address or file:///path, separated by spaces.",
            ) from None
    return tuple(found)


class _NoReceiver(ValueError):
    """A URL that names no receiver; its text does not quote it."""


def _parse(url: str) -> list[Receiver]:
    parts = urlsplit(url)
    port = parts.port
    if parts.scheme in ("http", "https"):
        return [_webhook(parts)]
    if parts.scheme in ("smtp", "smtps"):
        return list(_mails(parts, port or (_SMTPS_PORT if parts.scheme == "smtps" else _SMTP_PORT)))
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise _NoReceiver("a file is given by its absolute path: file:///path")
        return [LogFile(Path(unquote(parts.path)))]
    raise _NoReceiver("it begins with none of https://, smtp://, smtps://, file://")


def _webhook(parts: SplitResult) -> Webhook:
    if not parts.hostname or not parts.geturl().isascii():
        raise _NoReceiver("it has no host, or characters that are not percent-encoded")
    login, _, host = parts.netloc.rpartition("@")
    basic = base64.b64encode(unquote(login).encode()).decode()
    return Webhook(urlunsplit(parts._replace(netloc=host, fragment="")), f"Basic {basic}" if login else "")


def _mails(parts: SplitResult, port: int) -> list[Mail]:
    asked = parse_qs(parts.query, strict_parsing=bool(parts.query))
    if not parts.hostname or set(asked) - {"to", "from"} or parts.path not in ("", "/"):
        raise _NoReceiver("mail is given as smtp://host:port?to=address,address&from=address")
    addresses = [address for value in asked.get("to", []) for address in value.split(",")]
    sender = asked.get("from", [f"groundtrack@{socket.getfqdn()}"])[-1]
    if not addresses or not all(map(_ADDRESS.fullmatch, (*addresses, sender))):
        raise _NoReceiver("`to` and `from` of mail are addresses such as a@b.example")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return [Mail(parts.hostname, port, address, sender, parts.scheme == "smtps", user, password) for address in addresses]


def _id(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16]

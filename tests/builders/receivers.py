"""Real receivers of failure messages on loopback: an HTTP server and a mail server that keep what they get."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from tests.builders.servers import free_port


@dataclass
class Webhook:
    """An HTTP server.

    Attributes:
        url: Where it listens.
        answer: With what it answers.
        got: The body of every request that it answered well.
        headers: The headers of the last request.
    """

    url: str
    answer: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def webhook(port: int = 0) -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.headers = dict(self.headers)
            if hook.answer < 300:
                hook.got.append(body)
            self.send_response(hook.answer)
            self.send_header("Location", hook.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        hook = Webhook(f"http://127.0.0.1:{server.server_port}/hooks/canary")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Mailbox:
    """A mail server.

    Attributes:
        port: Where it listens on localhost.
        got: Every mail, each with its recipient in `X-Recipient`.
        login: User and password of the last login.
        refused: Addresses that it does not take mail for.
    """

    port: int
    got: list[Message] = field(default_factory=list)
    login: str = ""
    refused: set[str] = field(default_factory=set)


class MailServer(ThreadingTCPServer):
    """What a mail server has to say to a client that means well."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, certificate: str) -> None:
        super().__init__(("127.0.0.1", free_port()), MailSession)
        self.certificate = certificate
        self.box = Mailbox(self.server_address[1])


class MailSession(StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            getattr(self, f"do_{verb.lower()}")(rest)
            if verb.upper() == "QUIT":
                return

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def do_ehlo(self, _: str) -> None:
        in_clear = self.server.certificate and not isinstance(self.connection, ssl.SSLSocket)
        self.say("250-here", "250-STARTTLS" if in_clear else "250-AUTH PLAIN", "250 8BITMIME")

    def do_starttls(self, _: str) -> None:
        self.say("220 go on")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certificate)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

    def do_auth(self, rest: str) -> None:
        self.server.box.login = base64.b64decode(rest.partition(" ")[2]).decode().strip("\0").replace("\0", ":")
        self.say("235 welcome")

    def do_mail(self, _: str) -> None:
        self.say("250 ok")

    def do_rcpt(self, rest: str) -> None:
        self.recipient = rest.removeprefix("TO:").strip("<>")
        self.say("550 unknown" if self.recipient in self.server.box.refused else "250 ok")

    def do_data(self, _: str) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline().rstrip(b"\r\n")) != b".":
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"\n".join(lines), policy=policy.default)
        mail["X-Recipient"] = self.recipient
        self.server.box.got.append(mail)
        self.say("250 kept")

    def do_rset(self, _: str) -> None:
        self.say("250 ok")

    def do_quit(self, _: str) -> None:
        self.say("221 bye")


@contextmanager
def mail_server(certificate: str = "") -> Iterator[Mailbox]:
    """A mail server; with a certificate (a file that has the key too) it offers STARTTLS, and takes logins behind that."""
    with MailServer(certificate) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.box
        finally:
            server.shutdown()
            thread.join()

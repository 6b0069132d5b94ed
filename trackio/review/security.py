"""Who may talk to the review server: only the page that it served itself.

The server listens on 127.0.0.1, where other users' processes and, by way of the browser, any web page can send
requests. So the ``Host`` must be the server's own (against DNS rebinding), all but page and scripts needs the token of
the address that was printed (against other users), writes must come from the page (``Origin``) as JSON (against forms
of other sites), and nothing is cached or framed. Who fails gets a status and nothing else.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "x-dft-token"
TOKEN_BYTES = 32
MAX_BODY_BYTES = 1 << 20
READS, WRITES = ("GET", "HEAD"), ("POST",)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def new_token() -> str:
    """256 random bits in hex."""
    return secrets.token_hex(TOKEN_BYTES)


@dataclass(frozen=True)
class Secrets:
    """What a request must know.

    Attributes:
        host: Host and port of the server, such as ``127.0.0.1:8000``.
        token: 64 hex digits.
    """

    host: str
    token: str

    @property
    def origin(self) -> str:
        """The page's origin."""
        return f"http://{self.host}"

    def refusal(self, method: str, path: str, headers: Headers) -> int | None:
        """The status with which a request is refused, or None."""
        if headers.getlist("host") != [self.host]:
            return 421
        if method not in (*READS, *WRITES):
            return 405
        origins = headers.getlist("origin")
        if origins not in ([], [self.origin]) or (method in WRITES and not origins):
            return 403
        if not _is_public(path) and not self._knows_token(headers):
            return 403
        if method in WRITES:
            return _refused_body(headers)
        return None

    def _knows_token(self, headers: Headers) -> bool:
        given = headers.getlist(TOKEN)
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.token.encode())


class Guard:
    """Middleware that lets only right requests through, and adds the headers that browsers heed.

    Args:
        app: What is guarded.
        secrets: What a request must know.
    """

    def __init__(self, app: ASGIApp, secrets: Secrets):
        self._app, self._secrets = app, secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web socket is ever opened
            await send({"type": "websocket.close"})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        status = self._secrets.refusal(scope["method"], scope["path"], Headers(scope=scope))
        answer = self._app if status is None else Response(status_code=status)
        await answer(scope, receive, send_guarded)


def _is_public(path: str) -> bool:
    return path == "/" or path.startswith("/static/")


def _refused_body(headers: Headers) -> int | None:
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return 411
    return 413 if int(length) > MAX_BODY_BYTES else None

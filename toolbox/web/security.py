"""The protection against other pages and other machines: the token, the Host and Origin headers, the content policy."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolbox.utils import surface

TOKEN_HEADER = "x-toolbox-token"
PAGE_HEADER = "x-toolbox-page"
# The call with which a page begins.
BEGIN = "/api/choices"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware: refuse requests of other hosts and pages, and calls of the API without the token.

    A page of another site can make a browser send requests to this machine. Such a request has that site's Origin, or,
    if its name was bound to this machine (DNS rebinding), that site's Host. It never has the token, which is only in
    the link that `toolbox serve` prints.

    The calls of a page that was opened before the last one, in another tab or on another device, are refused too: each
    page shows what it has changed itself, so that two would overwrite the marks of each other. Calls without
    `PAGE_HEADER` are of no page.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str]) -> None:
        """Guard `app`; `hosts` are the values of the Host header that are answered, such as "127.0.0.1:8000"."""
        self.app = app
        self.token = token
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(f"http://{host}" for host in self.hosts)
        self._page = ""  # that was opened last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        with surface.shown_in("page"):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send_with_headers)
        else:
            status, reason = refusal
            response = JSONResponse({"error": reason}, status_code=status)
            await response(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the reason with which a request is refused; None if it is answered."""
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self.hosts:
            return 403, "This address is not served here. Open the link that toolbox serve printed."
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self.origins:
            return 403, "Requests of other pages are refused."
        path, page = scope.get("path", ""), headers.get(PAGE_HEADER, "")
        if path.startswith("/api/"):
            sent = headers.get(TOKEN_HEADER, "")
            if not hmac.compare_digest(sent.encode("utf-8", "replace"), self.token.encode()):
                return 403, "The token is missing or wrong. Open the link that toolbox serve printed last."
        if path == BEGIN and page:
            self._page = page
        elif page not in ("", self._page):
            return 409, "The photographs are open in another tab or on another device. Reload this page to go on here."
        return None

"""The web server of the page: static files, and a small API over an album and its worker."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from toolbox import __version__
from toolbox.errors import ToolboxError, one_line
from toolbox.web.album import Album
from toolbox.web.security import Guard
from toolbox.web.worker import Worker

STATIC = Path(__file__).parent / "static"
MAX_BYTES = 200 << 20  # of an uploaded photograph or mask
MAX_SETTINGS_BYTES = 4096

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(album: Album, worker: Worker, *, token: str, hosts: list[str], choices: Mapping[str, list[Any]]) -> Guard:
    """Return the ASGI application.

    Args:
        album: the open photographs.
        worker: restores them.
        token: what each call of the API must send.
        hosts: the values of the Host header that are answered.
        choices: the allowed values of each setting that the page offers.
    """
    api = _Api(album, worker, choices)
    photo = "/api/photos/{photo_id:str}"
    routes = [
        Route("/", _page),
        Route("/api/choices", api.choices),
        Route("/api/photos", api.list_photos),
        Route("/api/photos", api.add, methods=["POST"]),
        Route(photo, api.show),
        Route(photo, api.remove, methods=["DELETE"]),
        Route(photo + "/view", api.view),
        Route(photo + "/mask", api.mask),
        Route(photo + "/mask", api.set_mask, methods=["PUT"]),
        Route(photo + "/result", api.result),
        Route(photo + "/restore", api.restore, methods=["POST"]),
        Route(photo + "/restore", api.cancel, methods=["DELETE"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = {
        ToolboxError: _refuse,
        KeyError: _not_found,
        HTTPException: _http_error,
        Exception: _unexpected,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token=token, hosts=hosts)


class _Api:
    """The calls of the page."""

    def __init__(self, album: Album, worker: Worker, choices: Mapping[str, list[Any]]) -> None:
        self.album = album
        self.worker = worker
        self.allowed = choices

    async def choices(self, request: Request) -> Response:
        """Return what the page offers."""
        return JSONResponse({"version": __version__, "settings": self.allowed})

    async def list_photos(self, request: Request) -> Response:
        """Return all open photographs."""
        return JSONResponse([asdict(entry) for entry in self.album.entries()])

    async def add(self, request: Request) -> Response:
        """Open the photograph in the body."""
        data = await _body(request, MAX_BYTES)
        name = request.query_params.get("name", "")
        entry = await anyio.to_thread.run_sync(self.album.add, data, name)
        return JSONResponse(asdict(entry), status_code=201)

    async def show(self, request: Request) -> Response:
        """Return one photograph."""
        return JSONResponse(asdict(self.album.entry(_photo_id(request))))

    async def remove(self, request: Request) -> Response:
        """Close a photograph."""
        self.worker.cancel(_photo_id(request))
        await anyio.to_thread.run_sync(self.album.remove, _photo_id(request))
        return Response(status_code=204)

    async def view(self, request: Request) -> Response:
        """Send the photograph as PNG."""
        return FileResponse(self.album.view(_photo_id(request)), media_type="image/png")

    async def mask(self, request: Request) -> Response:
        """Send the mask as PNG."""
        return FileResponse(self.album.mask(_photo_id(request)), media_type="image/png")

    async def set_mask(self, request: Request) -> Response:
        """Replace the mask."""
        data = await _body(request, MAX_BYTES)
        entry = await anyio.to_thread.run_sync(self.album.set_mask, _photo_id(request), data)
        return JSONResponse(asdict(entry))

    async def result(self, request: Request) -> Response:
        """Send the restored file."""
        return FileResponse(self.album.result(_photo_id(request)))

    async def restore(self, request: Request) -> Response:
        """Put a photograph into the queue."""
        settings = _settings(await _body(request, MAX_SETTINGS_BYTES), self.allowed)
        self.worker.restore(_photo_id(request), settings)
        return JSONResponse(asdict(self.album.entry(_photo_id(request))), status_code=202)

    async def cancel(self, request: Request) -> Response:
        """Take a photograph out of the queue."""
        self.worker.cancel(_photo_id(request))
        return JSONResponse(asdict(self.album.entry(_photo_id(request))))


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def _photo_id(request: Request) -> str:
    return str(request.path_params["photo_id"])


async def _body(request: Request, limit: int) -> bytes:
    """Return the body; more than `limit` bytes are refused before they are read."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise HTTPException(413, f"The file has more than {limit >> 20} MB.")
    return bytes(data)


def _settings(data: bytes, allowed: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the settings in a body of JSON; a name or a value that is not allowed is refused."""
    try:
        settings = json.loads(data or b"{}")
    except ValueError:
        raise HTTPException(400, "The settings are not JSON.") from None
    if not isinstance(settings, dict):
        raise HTTPException(400, "The settings are not an object.")
    for name, value in settings.items():
        if name not in allowed or not any(type(value) is type(one) and value == one for one in allowed[name]):
            raise HTTPException(400, "There is no such setting or value.")
    return settings


def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": one_line(error)}, status_code=400)


def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "There is no such photograph, or it has no result yet."}, status_code=404)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)


def _unexpected(request: Request, error: Exception) -> Response:
    # The traceback goes to the terminal; what the browser sees names no file of this machine.
    return JSONResponse({"error": f"Unexpected error: {type(error).__name__}."}, status_code=500)

"""The web server of the page: static files, and a small API over an album and its worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
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
from toolbox.errors import OutputError, ToolboxError, one_line
from toolbox.guidance import hints
from toolbox.guidance.provenance import COLOURS
from toolbox.imaging.formats import FORMATS
from toolbox.utils import memory
from toolbox.web import guides, prints
from toolbox.web.album import Album
from toolbox.web.damage import Proposals
from toolbox.web.palette import Palette
from toolbox.web.photo_entry import PhotoEntry
from toolbox.web.quick_colors import QuickColors
from toolbox.web.requests import fraction, photo_id, read_body
from toolbox.web.security import Guard
from toolbox.web.settings import Offer, Range, read_settings
from toolbox.web.worker import Worker

STATIC = Path(__file__).parent / "static"
MAX_BYTES = 200 << 20  # of an uploaded photograph or mask
MAX_SETTINGS_BYTES = 4096
MAX_LAYER_BYTES = 1 << 20  # of a small layer of strokes

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(
    album: Album,
    worker: Worker,
    palette: Palette,
    proposals: Proposals,
    quick: QuickColors,
    *,
    token: str,
    hosts: list[str],
    offer: Offer,
) -> Guard:
    """Return the ASGI application.

    Args:
        album: the open photographs.
        worker: restores them.
        palette: offers colours for strokes.
        proposals: finds damage.
        quick: colours the last result at a small size.
        token: what each call of the API must send.
        hosts: the values of the Host header that are answered.
        offer: the settings that the page offers.
    """
    api = _Api(album, worker, palette, proposals, quick, offer)
    photo = "/api/photos/{photo_id:str}"
    routes = [
        Route("/", _page),
        Route("/api/choices", api.choices),
        Route("/api/photos", api.list_photos),
        Route("/api/photos", api.add, methods=["POST"]),
        Route(photo, api.show),
        Route(photo, api.remove, methods=["DELETE"]),
        Route(photo + "/view", _picture(album.view)),
        Route(photo + "/small", _picture(album.small_view)),
        Route(photo + "/marks", api.marks),
        Route(photo + "/marks", _change(proposals.set_marks), methods=["PUT"]),
        Route(photo + "/mask", api.mask),
        Route(photo + "/mask", _change(proposals.set_mask), methods=["PUT"]),
        Route(photo + "/hints", _picture(album.hints)),
        Route(photo + "/hints", _change(partial(guides.set_hints, album)), methods=["PUT"]),
        Route(photo + "/hints", _change(partial(guides.remove_hints, album)), methods=["DELETE"]),
        Route(photo + "/reference", _picture(album.reference_view)),
        Route(photo + "/reference", _change(partial(guides.set_reference, album), "name"), methods=["PUT"]),
        Route(photo + "/reference", _change(partial(guides.remove_reference, album)), methods=["DELETE"]),
        Route(photo + "/colors", api.colors),
        Route(photo + "/damage", api.damage),
        Route(photo + "/sheet", api.sheet),
        Route(photo + "/quick", api.quick_colors, methods=["POST"]),
        Route(photo + "/variants/{number:int}", api.variant),
        Route(photo + "/provenance", _picture(album.provenance)),
        Route(photo + "/result", api.result),
        Route(photo + "/restore", api.restore, methods=["POST"]),
        Route(photo + "/restore", api.cancel, methods=["DELETE"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = {
        ToolboxError: _refuse,
        OutputError: _cannot_write,
        KeyError: _not_found,
        HTTPException: _http_error,
        Exception: _unexpected,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token=token, hosts=hosts)


class _Api:
    """The calls of the page."""

    def __init__(
        self,
        album: Album,
        worker: Worker,
        palette: Palette,
        proposals: Proposals,
        quick: QuickColors,
        offer: Offer,
    ) -> None:
        self.album = album
        self.worker = worker
        self.palette = palette
        self.proposals = proposals
        self.quick = quick
        self.offer = offer

    async def choices(self, request: Request) -> Response:
        """Return what the page offers: the values of each setting, or the lowest and the highest number.

        `stroke_pixels` is the size of the small layers of strokes that `quick_colors` takes, `suffixes` are those of
        photographs that can be opened.
        """
        offered = {
            name: [values.low, values.high] if isinstance(values, Range) else list(values.values)
            for name, values in self.offer.items()
        }
        origins = {kind.name.lower().replace("_", " "): _css(color) for kind, color in COLOURS.items()}
        kinds = {kind: _css(color) for kind, color in self.proposals.kinds.items()}
        return JSONResponse(
            {
                "version": __version__,
                "settings": offered,
                "origins": origins,
                "damage": kinds,
                "stroke_pixels": hints.WORKING_PIXELS,
                "suffixes": [suffix for row in FORMATS if row.has_decoder() for suffix in row.suffixes],
            }
        )

    async def list_photos(self, request: Request) -> Response:
        """Return all open photographs."""
        return JSONResponse([asdict(entry) for entry in self.album.entries()])

    async def add(self, request: Request) -> Response:
        """Open the photograph in the body."""
        data = await read_body(request, MAX_BYTES)
        name = request.query_params.get("name", "")
        entry = await anyio.to_thread.run_sync(self.album.add, data, name)
        return _send(entry, status=201)

    async def show(self, request: Request) -> Response:
        """Return one photograph."""
        return _send(self.album.entry(photo_id(request)))

    async def remove(self, request: Request) -> Response:
        """Close a photograph."""
        self.worker.cancel(photo_id(request))
        await anyio.to_thread.run_sync(self.album.remove, photo_id(request))
        return Response(status_code=204)

    async def colors(self, request: Request) -> Response:
        """Return colours that are likely at a point, given as fractions of the width and the height."""
        x, y = (fraction(request, name) for name in ("x", "y"))
        return JSONResponse(await anyio.to_thread.run_sync(self.palette.colors, photo_id(request), x, y))

    async def marks(self, request: Request) -> Response:
        """Send the marks as PNG; see `Proposals.marks`."""
        data = await anyio.to_thread.run_sync(self.proposals.marks, photo_id(request))
        return Response(data, media_type="image/png")

    async def mask(self, request: Request) -> Response:
        """Send what is filled as the PNG of a mask; see `Proposals.filled`."""
        data = await anyio.to_thread.run_sync(self.proposals.filled, photo_id(request))
        return Response(data, media_type="image/png")

    async def damage(self, request: Request) -> Response:
        """Send the proposals of damage as PNG; see `toolbox.web.damage.groups`."""
        if not self.proposals.kinds:
            raise HTTPException(404, "The detector of damage is not installed.")
        sensitivity = fraction(request, "sensitivity")
        data = await anyio.to_thread.run_sync(self.proposals.picture, photo_id(request), sensitivity)
        return Response(data, media_type="image/png")

    async def variant(self, request: Request) -> Response:
        """Send a small picture of a colouring."""
        number = request.path_params["number"]
        data = await anyio.to_thread.run_sync(self.quick.variant, photo_id(request), number)
        return Response(data, media_type="image/png")

    async def quick_colors(self, request: Request) -> Response:
        """Send the last result with other strokes, which are the body, and other settings, at a small size."""
        settings = self._settings(request.query_params.get("settings", "").encode())
        layer = await read_body(request, MAX_LAYER_BYTES)
        data = await anyio.to_thread.run_sync(self.quick.picture, photo_id(request), layer, settings)
        return Response(data, media_type="image/png")

    async def sheet(self, request: Request) -> Response:
        """Send the print that was cut out of the photograph, as it was before other corrections."""
        data = await anyio.to_thread.run_sync(prints.sheet_view, self.album, photo_id(request))
        return Response(data, media_type="image/png")

    async def result(self, request: Request) -> Response:
        """Send the restored file."""
        return FileResponse(self.album.result(photo_id(request)))

    async def restore(self, request: Request) -> Response:
        """Put a photograph into the queue."""
        settings = self._settings(await read_body(request, MAX_SETTINGS_BYTES))
        self.worker.restore(photo_id(request), settings)
        return _send(self.album.entry(photo_id(request)), status=202)

    async def cancel(self, request: Request) -> Response:
        """Take a photograph out of the queue, or end its restoration after the current step."""
        self.worker.cancel(photo_id(request))
        return _send(self.album.entry(photo_id(request)))

    def _settings(self, data: bytes) -> dict[str, Any]:
        try:
            return read_settings(data, self.offer)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def _picture(path: Callable[[str], Path]) -> Endpoint:
    """Return the endpoint that sends a file of a photograph as PNG."""

    async def send(request: Request) -> Response:
        return FileResponse(path(photo_id(request)), media_type="image/png")

    return send


def _change(change: Callable[..., PhotoEntry], *fields: str) -> Endpoint:
    """Return the endpoint that changes a photograph and sends its entry.

    Args:
        change: gets the id of the photograph, the body of a PUT, and the values of `fields`.
        fields: names of values in the query.
    """

    async def answer(request: Request) -> Response:
        arguments: list[Any] = [await read_body(request, MAX_BYTES)] if request.method == "PUT" else []
        arguments += [request.query_params.get(name, "") for name in fields]
        return _send(await anyio.to_thread.run_sync(change, photo_id(request), *arguments))

    return answer


def _send(entry: PhotoEntry, *, status: int = 200) -> Response:
    return JSONResponse(asdict(entry), status_code=status)


def _css(color: tuple[int, int, int]) -> str:
    return f"#{bytes(color).hex()}"


def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": one_line(error)}, status_code=400)


def _cannot_write(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": one_line(error)}, status_code=507)


def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "There is no such photograph, or it has no result yet."}, status_code=404)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)


def _unexpected(request: Request, error: Exception) -> Response:
    # The traceback goes to the terminal; what the browser sees names no file of this machine.
    text = (
        memory.describe_out_of_memory()
        if memory.is_out_of_memory(error)
        else f"Unexpected error: {type(error).__name__}."
    )
    return JSONResponse({"error": text}, status_code=500)

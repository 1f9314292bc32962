"""Run the page on a port of this machine."""

from __future__ import annotations

import errno
import hashlib
import logging
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from torch import nn

from toolbox.errors import DataError, ToolboxError, UsageError, one_line
from toolbox.hooks.specs import NETWORK_FILL
from toolbox.imaging import io
from toolbox.inference import loading
from toolbox.inference.fillers import LoadedFiller, default_fill, find_filler
from toolbox.inference.photo_search import LeftOut, find_photos
from toolbox.inference.remembering import RememberingNetwork, remembering_filler
from toolbox.inference.restorer import Restorer
from toolbox.inference.variants import TILTS, TiltedNetwork
from toolbox.utils import files
from toolbox.utils.cancelling import cancellable
from toolbox.utils.limits import MAX_SATURATION
from toolbox.web import prints
from toolbox.web.album import Album
from toolbox.web.app import make_app
from toolbox.web.damage import Proposals
from toolbox.web.palette import Palette
from toolbox.web.quick_colors import QuickColors
from toolbox.web.settings import AllowedValues, Range
from toolbox.web.worker import Worker

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from toolbox.hooks.catalog import Catalog


LOOPBACK = "127.0.0.1"
HOST_REMEDY = f"--host takes an address of this machine: {LOOPBACK}, or 0.0.0.0 for all of them."
# Colourings to choose from; the first is the expected one.
VARIANTS = 4


class Service:
    """The page of an album on a port."""

    def __init__(
        self, *, album: Album, catalog: Catalog, weights: str, device: str | None, host: str, port: int
    ) -> None:
        """Describe the service; `prepare` loads the weights and opens the port, `run` answers until Ctrl-C."""
        self.album, self.catalog, self.weights, self.device = album, catalog, weights, device
        self.host, self.port = host, port
        self.token = secrets.token_urlsafe(24)
        self._restorer: Restorer | None = None
        self._networks: list[nn.Module] = []
        self._filler: tuple[str, LoadedFiller | None] | None = None
        self._fills: list[str] = []
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None

    @property
    def link(self) -> str:
        """The address of the page with its token, which is behind the #, so that a browser never sends it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/#token={self.token}"

    def prepare(self) -> None:
        """Load the weights and open the port.

        Raises:
            UsageError: the port is in use, or the address is not one of this machine.
            WeightsError: the weights can't be used.
        """
        fill = default_fill(self.weights)
        self._restorer = loading.load_restorer(self.weights, device=self.device, fill=fill, catalog=self.catalog)
        self._networks = _variant_networks(self._restorer)
        self._fills = _fill_names(self.catalog, fill)
        if not self.host.strip():  # an unset variable would open the page to the whole network
            raise UsageError(f"--host is empty. {HOST_REMEDY}")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self.host, self.port))
        except OSError as error:
            self._socket.close()
            is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
            remedy = "Choose another port, or 0 for a free one." if is_port else HOST_REMEDY
            raise UsageError(f"--host {self.host} --port {self.port}: {error.strerror}. {remedy}") from None
        # If the browser connects before the server answers, it waits instead of being refused.
        self._socket.listen()
        self.port = self._socket.getsockname()[1]

    def run(self) -> None:
        """Answer requests until Ctrl-C, SIGTERM or `stop`."""
        assert self._socket is not None and self._restorer is not None
        proposals = Proposals(self.album, self.catalog)
        worker = Worker(self.album, self.restorer, proposals.repairing)
        quick = QuickColors(self.album, self._restorer, self._networks)
        names = {self.host, LOOPBACK, "localhost", "[::1]"} | (set() if self.host == LOOPBACK else _own_names())
        app = make_app(
            self.album,
            worker,
            Palette(self.album, self._restorer),
            proposals,
            quick,
            token=self.token,
            hosts=[f"{name}:{self.port}" for name in names],
            offer={
                "keep": AllowedValues(values=["auto", "luma"]),
                "keep_tone": AllowedValues(values=[False, True]),
                "saturation": Range(low=0, high=MAX_SATURATION),
                "fill": AllowedValues(values=self._fills),
                "second": AllowedValues(values=["scene", "colours"]),
                **({"variant": AllowedValues(values=quick.numbers)} if quick.numbers else {}),
                **prints.OFFER,
            },
        )
        config = uvicorn.Config(_ending_early(app, self._ends), log_level="warning", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        # A request that is not answered because the server ends is no error.
        logger = logging.getLogger("uvicorn.error")
        is_wanted = lambda record: not self._ends()  # noqa: E731 - removed again below
        logger.addFilter(is_wanted)
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass
        finally:
            logger.removeFilter(is_wanted)
            worker.stop()
            self._socket.close()

    def _ends(self) -> bool:
        return self._server is not None and self._server.should_exit

    @property
    def is_running(self) -> bool:
        """Whether requests are answered."""
        return self._server is not None and self._server.started

    def stop(self) -> None:
        """End `run`, from another thread."""
        if self._server is not None:
            self._server.should_exit = True

    def restorer(self, settings: Mapping[str, Any]) -> Restorer:
        """Return the restorer for the settings of a photograph; it remembers what it calculated last."""
        assert self._restorer is not None
        fill = settings.get("fill", self._fills[0])
        if self._filler is None or self._filler[0] != fill:
            filler = self._restorer.filler if fill == self._fills[0] else find_filler(fill, self.catalog)
            self._filler = (fill, None if filler is None else remembering_filler(filler))
        return replace(
            self._restorer,
            network=self._networks[settings.get("variant", 1) - 1],
            filler=self._filler[1],
            saturation=settings.get("saturation", 1),
        )


def open_folder(album: Album, folder: Path) -> Iterator[str]:
    """Open every photograph below a folder that the album does not have; yield a line on each that is not opened.

    Raises:
        DataError: the folder has no photographs.
    """
    left_out = LeftOut()
    photos = find_photos(folder, left_out, skip=(album.folder,))
    if not photos:
        raise DataError(f"--album {files.printable(folder)}: {left_out.why_none()}")
    known = album.digests()
    opened_before = 0
    for number, path in enumerate(photos):
        try:
            data = io.read_bytes(path, album.max_pixels)
        except DataError as error:  # it names the file
            yield one_line(error)
            continue
        try:
            if hashlib.sha256(data).hexdigest() in known:
                opened_before += 1
            else:
                album.add(data, path.name)
        except UsageError as error:  # the album is full
            yield f"{files.printable(path)} and what follows, {len(photos) - number} in all: {one_line(error)}"
            break
        except ToolboxError as error:
            yield f"{files.printable(path)}: {one_line(error)}"
    if opened_before:
        yield f"{opened_before} of {len(photos)} photographs are open from before."
    yield from left_out.folders.values()
    yield from left_out.describe()


def _ending_early(app: ASGIApp, ends: Callable[[], bool]) -> ASGIApp:
    """Return an application whose requests that change nothing stop after the current step once `ends` returns True."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "GET":
            await app(scope, receive, send)
            return
        with cancellable(ends):
            await app(scope, receive, send)

    return answer


def _variant_networks(restorer: Restorer) -> list[nn.Module]:
    """Return the network of each colouring; only that of the expected one for weights without classes of colours."""
    network = RememberingNetwork(restorer.network)
    tilts = TILTS[: VARIANTS - 1] if restorer.predicts_classes else ()
    return [network, *(TiltedNetwork(network, tilt).to(restorer.device) for tilt in tilts)]


def _fill_names(catalog: Catalog, default: str | None) -> list[str]:
    """Return the ways to fill that the page offers, the default of the weights first."""
    names = [*catalog.names("filler"), NETWORK_FILL]
    first = default or NETWORK_FILL
    return [first, *(name for name in names if name != first)]


def _own_names() -> set[str]:
    """Return the names and addresses by which other machines know this one."""
    name = socket.gethostname()
    try:
        found = socket.getaddrinfo(name, None)
    except OSError:
        found = []
    addresses = {str(row[4][0]) for row in found}
    return {name, socket.getfqdn()} | {f"[{address}]" if ":" in address else address for address in addresses}

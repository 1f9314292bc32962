"""`toolbox serve`: a page on this machine to restore photographs in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from toolbox.cli.common import FilePath, load_catalog
from toolbox.errors import UsageError
from toolbox.utils import files, locks
from toolbox.utils.signals import exit_on_signals

LOOPBACK = "127.0.0.1"
LOCK = ".album.lock"


@click.command("serve")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 chooses a free one."
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address; another than 127.0.0.1 opens it to others.")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@click.option(
    "--album",
    type=FilePath(exists=True, file_okay=False),
    help="Open the photographs below this folder; they are copied, never changed.",
)
@click.option(
    "--keep",
    type=FilePath(file_okay=False),
    help="Keep photographs, masks and results in this folder. Without it, all is deleted at the end.",
)
@click.option("--weights", default="luma", show_default=True, help="A published name, a weight file or a run folder.")
@click.option("--device", help="cpu, cuda, cuda:1, mps. Default: the best one.")
@click.pass_context
def command(context: click.Context, **options: Any) -> None:  # noqa: ANN401 - the options above
    """Open a page in the browser to restore photographs: mark damage, compare, save. Nothing leaves this machine."""
    from toolbox.web import server
    from toolbox.web.album import Album

    catalog = load_catalog(context)
    with ExitStack() as stack:
        stack.enter_context(exit_on_signals())
        keep = options["keep"]
        if keep is not None:
            files.ensure_folder(keep)
            stack.enter_context(_only_process(keep))
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolbox-serve-")))
        album = Album(folder)
        service = server.Service(
            album=album,
            catalog=catalog,
            weights=options["weights"],
            device=options["device"],
            host=options["host"],
            port=options["port"],
        )
        service.prepare()
        if options["album"] is not None:
            for line in server.open_folder(album, options["album"]):
                click.echo(line, err=True)
        click.echo(f"Open this link in your browser (Ctrl-C ends the page):\n{service.link}")
        if options["host"] != LOOPBACK:
            click.echo("Anyone who has this link and reaches this machine can use the page.", err=True)
        if not options["no_browser"]:
            click.launch(service.link)
        service.run()


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    """Keep other processes from serving the album in `folder`: each would not see what the other one changes."""
    try:
        with locks.hold_lock(folder / LOCK, remove=True):
            yield
    except locks.BusyError:
        raise UsageError(
            f"Another process serves the album in --keep {files.printable(folder)}: end it, or choose another folder."
        ) from None

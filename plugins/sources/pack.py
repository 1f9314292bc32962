"""`toolbox data pack`: write the photographs of a data folder to tar files or to an LMDB database."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import click

import toolbox
from toolbox import InstallationError, Source

from .whole import written_whole


@click.command("pack")
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--megabytes", type=click.IntRange(1), default=1000, show_default=True, help="Size of a tar file.")
def pack(data: Path, target: Path, megabytes: int) -> None:
    """Write the photographs of a data folder to TARGET, for the source webdataset or lmdb.

    TARGET ending in .lmdb is a database. Otherwise it is a folder of tar files.
    """
    name = "lmdb" if target.suffix == ".lmdb" else "webdataset"
    if name == "lmdb" and importlib.util.find_spec("lmdb") is None:
        raise InstallationError('A database needs the package lmdb: pip install "toolbox-restore[lmdb]"')
    source = toolbox.open_folder(data)
    with written_whole(target) as temporary:
        if name == "lmdb":
            write_database(temporary, members(source))
        else:
            write_shards(temporary, members(source), megabytes * 1_000_000)
    click.echo(f"Wrote {len(source.items)} photographs. To train on them:")
    click.echo(f"  toolbox run --set source.name={name} --data {toolbox.shell_word(target)}")


def members(source: Source) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each image, as `images.make_source` reads them.

    Raises:
        click.UsageError: two photographs would have the same name.
    """
    names: dict[str, str] = {}
    for item in (*source.items, *source.tests):
        key = Path(item.name).stem.replace(".", "_")
        kind = "a photograph to restore" if item.truth is None else "a photograph"
        if names.setdefault(f"{kind} {key}", item.name) != item.name:
            raise click.UsageError(f"{names[f'{kind} {key}']} and {item.name} would both be {key}; rename one of them.")
        parts = {"input": item.input, "truth": item.truth} if item.truth is not None else {"test": item.input}
        for part, image in parts.items():
            if image is not None:
                suffix = Path(image.name).suffix.lower()
                yield f"{key}.{part}{suffix}", _read(image) if isinstance(image, Path) else image.read()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.ClickException(f"{path} can't be read: {error.strerror or error}") from error


def write_shards(folder: Path, images: Iterable[tuple[str, bytes]], max_bytes: int) -> None:
    """Write tar files of some `max_bytes` each; the same images give the same bytes."""
    folder.mkdir(parents=True)
    archive, number, size = None, 0, 0
    with ExitStack() as shard:
        for name, data in images:
            if archive is None or size > max_bytes:
                shard.close()
                archive = shard.enter_context(tarfile.open(folder / f"shard-{number:06d}.tar", "w:"))
                number, size = number + 1, 0
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
            size += len(data)


def write_database(path: Path, images: Iterable[tuple[str, bytes]]) -> None:
    """Write an LMDB database."""
    import lmdb

    with lmdb.open(str(path), map_size=1 << 40) as database, database.begin(write=True) as transaction:
        for name, data in images:
            transaction.put(name.encode(), data)

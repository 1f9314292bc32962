"""`toolbox data pack`: write the photographs of a data folder to tar files or to an LMDB database."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

import toolbox
from toolbox import Source


@click.command("pack")
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--megabytes", type=click.IntRange(1), default=1000, show_default=True, help="Size of a tar file.")
def pack(data: Path, target: Path, megabytes: int) -> None:
    """Write the photographs of a data folder to TARGET, for the source webdataset or lmdb.

    TARGET ending in .lmdb is a database. Otherwise it is a folder of tar files.
    """
    if target.exists():
        raise click.UsageError(f"{target} exists already; choose another name.")
    source = toolbox.open_folder(data)
    name = "lmdb" if target.suffix == ".lmdb" else "webdataset"
    if name == "lmdb":
        write_database(target, members(source))
    else:
        write_shards(target, members(source), megabytes * 1_000_000)
    click.echo(f"Wrote {len(source.items)} photographs. To train on them:")
    click.echo(f"  toolbox run --set source.name={name} --data {target}")


def members(source: Source) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each image, as `images.make_source` reads them."""
    for item in (*source.items, *source.tests):
        key = Path(item.name).stem.replace(".", "_")
        parts = {"input": item.input, "truth": item.truth} if item.truth is not None else {"test": item.input}
        for part, image in parts.items():
            if image is not None:
                suffix = Path(image.name).suffix.lower()
                data = image.read_bytes() if isinstance(image, Path) else image.read()
                yield f"{key}.{part}{suffix}", data


def write_shards(folder: Path, images: Iterable[tuple[str, bytes]], max_bytes: int) -> None:
    """Write tar files of some `max_bytes` each; the same images give the same bytes."""
    folder.mkdir(parents=True)
    archive, number, size = None, 0, 0
    for name, data in images:
        if archive is None or size > max_bytes:
            if archive is not None:
                archive.close()
            archive, size = tarfile.open(folder / f"shard-{number:06d}.tar", "w:"), 0
            number += 1
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
        size += len(data)
    if archive is not None:
        archive.close()


def write_database(path: Path, images: Iterable[tuple[str, bytes]]) -> None:
    """Write an LMDB database."""
    import lmdb

    with lmdb.open(str(path), map_size=1 << 40) as database, database.begin(write=True) as transaction:
        for name, data in images:
            transaction.put(name.encode(), data)

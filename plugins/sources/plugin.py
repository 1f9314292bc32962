"""Hooks of the data bundle: sources and commands. Each is imported when it is used."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import toolbox
from toolbox import CommandSpec, Params, Source, SourceSpec, hookimpl

if TYPE_CHECKING:
    import click

TOOLBOX_API = 1


def build_folders(params: Params, location: Path | None) -> Source:
    """Open a data folder; None opens the sample photographs."""
    return toolbox.open_folder(location)


def build_webdataset(params: Params, location: Path | None) -> Source:
    """Open tar files."""
    from .webdataset import open_shards

    return open_shards(_required(location))


def build_lmdb(params: Params, location: Path | None) -> Source:
    """Open a database."""
    if importlib.util.find_spec("lmdb") is None:
        raise ValueError('it needs the package lmdb: pip install "toolbox-restore[lmdb]"')
    from .lmdb import open_database

    return open_database(_required(location))


def _required(location: Path | None) -> Path:
    if location is None:
        raise ValueError("it needs data: a path")
    return location


def write_folder(folder: Path) -> Path:
    """Write an example for the conformance kit."""
    from .examples import write_folder

    return write_folder(folder)


def write_tars(folder: Path) -> Path:
    """Write an example for the conformance kit."""
    from .examples import write_tars

    return write_tars(folder)


def write_lmdb(folder: Path) -> Path:
    """Write an example for the conformance kit."""
    from .examples import write_lmdb

    return write_lmdb(folder)


def load_damage() -> click.Command:
    """Load `toolbox data damage`."""
    from .damage import damage

    return damage


def load_pack() -> click.Command:
    """Load `toolbox data pack`."""
    from .pack import pack

    return pack


@hookimpl
def toolbox_sources() -> list[SourceSpec]:
    """Return the sources of this plugin."""
    return [
        SourceSpec(
            name="folders",
            summary="Data folders: the competition's layout, or colour photographs; the default",
            build=build_folders,
            example=write_folder,
            reference="DACON 2024, competition 236420",
        ),
        SourceSpec(
            name="webdataset",
            summary="Tar files of images (WebDataset), read without unpacking",
            build=build_webdataset,
            example=write_tars,
            reference="Aizman, Maltby and Breuel, High Performance I/O For Large Scale Deep Learning, 2019",
        ),
        SourceSpec(
            name="lmdb",
            summary="An LMDB database of images; needs the package lmdb",
            build=build_lmdb,
            example=write_lmdb,
            reference="https://lmdb.readthedocs.io",
        ),
    ]


@hookimpl
def toolbox_commands() -> list[CommandSpec]:
    """Return the commands of this plugin."""
    return [
        CommandSpec(
            name="damage",
            summary="Make a data folder of pairs from undamaged photographs, with simulated damage",
            load=load_damage,
        ),
        CommandSpec(name="pack", summary="Write a data folder to tar files or an LMDB database", load=load_pack),
    ]

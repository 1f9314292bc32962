"""Find and delete files of a run that are not needed any more: old checkpoints, hidden previews, temporary files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolbox.errors import OutputError
from toolbox.models.stored_weights import MANIFEST
from toolbox.reports import run_records
from toolbox.reports.run_report import shown_previews
from toolbox.training import checkpoint, run_dir
from toolbox.utils import files, locks, temporary_files
from toolbox.utils.json_values import parse_json

_PREVIEW = re.compile(r"epoch-\d+\.png")
# The files of a checkpoint, where its manifest can't be read.
_CHECKPOINT_FILE = re.compile(r"[\w-]+\.safetensors|state\.json|manifest\.json")


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file or folder that is not needed any more.

    Attributes:
        path: the file or folder.
        kind: what it is, in words.
        members: the files to delete, in this order; without `path` itself if that is a folder.
        size: their size in bytes.
    """

    path: Path
    kind: str
    members: tuple[Path, ...]
    size: int


def find_leftovers(folder: Path) -> list[Leftover]:
    """Return what can be deleted of the run in `folder`.

    Resuming needs the newest undamaged checkpoint; the one of the best weights stays too, and all of them if none is
    undamaged. The report needs the previews that it shows. Links, what is below them, and folders that hold other files
    than those of a checkpoint are never listed.
    """
    leftovers = [*_checkpoints(folder / run_dir.CHECKPOINTS, folder), *_previews(folder / run_dir.PREVIEWS)]
    for subfolder in (folder, folder / run_dir.CHECKPOINTS, folder / run_dir.PREVIEWS, folder / run_dir.SUBMISSIONS):
        if not subfolder.is_symlink():
            leftovers += [
                _leftover(path, "temporary file", _all_files(path)) for path in temporary_files.find_stale(subfolder)
            ]
    return leftovers


def is_busy(folder: Path) -> bool:
    """Return whether a process trains in the run folder."""
    if not (folder / run_dir.LOCK).exists():
        return False
    try:
        with locks.hold_lock(folder / run_dir.LOCK):
            return False
    except locks.BusyError:
        return True


def delete_leftovers(folder: Path, chosen: Sequence[Leftover]) -> int:
    """Delete those of the `chosen` files of the run in `folder` that are still not needed; return the freed bytes.

    Raises:
        OutputError: a process trains in the folder, or a file can't be deleted. What was deleted before stays deleted.
    """
    try:
        with locks.hold_lock(folder / run_dir.LOCK):
            current = {item.path: item for item in find_leftovers(folder)}
            return sum(_delete(current[item.path]) for item in chosen if item.path in current)
    except locks.BusyError:
        raise OutputError(
            f"A process has begun to train in {files.printable(folder)}, so nothing was deleted there."
        ) from None


def _checkpoints(folder: Path, run: Path) -> Iterator[Leftover]:
    if folder.is_symlink() or not folder.is_dir():
        return
    newest, _ = checkpoint.newest_checkpoint(folder)
    if newest is None:
        return
    summary = run_records.read_summary(run)
    best_step = summary.best.step if summary is not None and summary.best is not None else None
    for path in sorted(folder.iterdir()):
        is_damaged = path.name.startswith(checkpoint.DAMAGED)
        name = checkpoint.NAME.fullmatch(path.name.removeprefix(checkpoint.DAMAGED))
        if name is None or path == newest or path.is_symlink() or not path.is_dir():
            continue
        members = _checkpoint_files(path)
        if members is None or (not is_damaged and int(name[1]) == best_step):
            continue
        yield _leftover(path, "damaged checkpoint" if is_damaged else "old checkpoint", members)


def _checkpoint_files(path: Path) -> tuple[Path, ...] | None:
    """Return the files of a checkpoint, the manifest first; None if the folder holds anything else."""
    try:
        known = {MANIFEST, *parse_json((path / MANIFEST).read_text("utf-8"))["sha256"]}
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    # Without its manifest a checkpoint is not one any more, so an interrupted deletion leaves no incomplete checkpoint.
    members = sorted(path.iterdir(), key=lambda member: member.name != MANIFEST)
    for member in members:
        is_known = _CHECKPOINT_FILE.fullmatch(member.name) and (known is None or member.name in known)
        if member.is_symlink() or not member.is_file() or not is_known:
            return None
    return tuple(members)


def _previews(folder: Path) -> Iterator[Leftover]:
    if folder.is_symlink() or not folder.is_dir():
        return
    shown = set(shown_previews(folder.parent))
    for path in sorted(folder.iterdir()):
        if _PREVIEW.fullmatch(path.name) and path.is_file() and not path.is_symlink() and path not in shown:
            yield _leftover(path, "preview that the report does not show", (path,))


def _all_files(path: Path) -> tuple[Path, ...]:
    if path.is_symlink() or not path.is_dir():
        return (path,)
    return tuple(member for member in sorted(path.rglob("*")) if member.is_symlink() or not member.is_dir())


def _leftover(path: Path, kind: str, members: tuple[Path, ...]) -> Leftover:
    return Leftover(path=path, kind=kind, members=members, size=sum(member.lstat().st_size for member in members))


def _delete(item: Leftover) -> int:
    try:
        for member in item.members:
            member.unlink(missing_ok=True)
        if item.path.is_dir() and not item.path.is_symlink():
            # rmdir fails if other files were added to the folder meanwhile.
            for folder in [*sorted(item.path.rglob("*"), reverse=True), item.path]:
                folder.rmdir()
    except OSError as error:
        raise OutputError(f"{files.printable(item.path)} can't be deleted: {error.strerror or error}") from error
    return item.size

"""A check of a data folder: pairs without a partner, files that can't be read, sizes that don't match."""

from __future__ import annotations

from pathlib import Path

from toolbox.data import folders
from toolbox.diagnostics.environment import Finding
from toolbox.errors import DataError
from toolbox.imaging import io


def inspect_folder(folder: Path) -> list[Finding]:
    """Return the content of a data folder, and a finding for every file of it that can't be used.

    Raises:
        UsageError: the folder does not exist.
    """
    try:
        source = folders.open_folder(folder)
    except DataError as error:
        return [Finding(what="pairing", ok=False, detail=str(error))]
    detail = f"{source.kind}: {len(source.items)} for training and validation, {len(source.tests)} to restore"
    findings = [Finding(what="pairing", ok=True, detail=detail)]
    for item in (*source.items, *source.tests):
        sizes = {}
        for path in (item.input, item.truth):
            if path is None:
                continue
            try:
                sizes[path] = io.read(path).pixels.shape[:2]
            except DataError as error:
                findings.append(Finding(what=item.name, ok=False, detail=str(error)))
        if len(set(sizes.values())) > 1:
            listed = " and ".join(f"{path.parent.name} {w}x{h}" for path, (h, w) in sizes.items())
            findings.append(Finding(what=item.name, ok=False, detail=f"the pair is of unequal size: {listed}"))
    return findings

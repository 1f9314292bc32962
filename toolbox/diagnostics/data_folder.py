"""Check a data folder: pairs, sizes, gray and similar photographs, and what a run would leave out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolbox.config.settings import Split
from toolbox.data import folders, left_out, split
from toolbox.data.alignment import describe_shift
from toolbox.data.broken_files import MIN_ITEMS
from toolbox.data.folders import Item, Source
from toolbox.data.known_tests import describe_known_tests
from toolbox.data.photo_check import EXCHANGED_CHANNELS, Examination, examine
from toolbox.diagnostics.environment import Finding
from toolbox.errors import DataError
from toolbox.evaluation.submission import name_faults
from toolbox.imaging import io
from toolbox.imaging.formats import missing_decoder
from toolbox.utils import files

LISTED = 5  # sizes, endings or names in one line


def inspect_folder(folder: Path) -> list[Finding]:
    """Return the content of a data folder, and a finding for every file of it that can't be used.

    Raises:
        UsageError: the folder does not exist.
    """
    faults: list[str] = []
    try:
        source = folders.open_folder(folder, on_fault=faults.append)
    except DataError as error:
        return [*_pairing_faults(faults), Finding(what="pairing", ok=False, detail=str(error))]
    detail = f"{source.kind}: {len(source.items)} for training and validation, {len(source.tests)} to restore"
    examinations, test_examinations = examine(source.items), examine(source.tests)
    usable = [examination.item for examination in examinations if not examination.kind]
    findings = [
        Finding(what="pairing", ok=True, detail=detail),
        *_pairing_faults(faults),
        *_sizes(examinations),
        *_gray(source, examinations),
        *_masks(examinations),
        *_copies(examinations),
        *_channels(examinations),
        *_shifts(examinations),
        *_test_names(source),
        *_known_tests(source),
        *_scenes(usable),
        *_not_used(source),
    ]
    findings += [
        Finding(what=files.printable(examination.item.name), ok=False, detail=examination.reason)
        for examination in (*examinations, *test_examinations)
        if examination.kind
    ]
    broken = sum(bool(examination.kind) for examination in (*examinations, *test_examinations))
    if broken:
        detail = f"{broken} photographs can't be used"
        if len(usable) >= MIN_ITEMS and not faults:
            detail += "; to train without them: toolbox run --skip-broken"
        findings.append(Finding(what="broken", ok=False, detail=detail))
    return findings


def _pairing_faults(faults: Sequence[str]) -> Iterator[Finding]:
    for fault in faults[:LISTED]:
        yield Finding(what="pairing", ok=False, detail=fault)
    if len(faults) > LISTED:
        yield Finding(what="pairing", ok=False, detail=f"and {len(faults) - LISTED} more faults of the pairing")


def _test_names(source: Source) -> Iterator[Finding]:
    """Yield a finding for each test photograph whose result can't be in a submission; a run refuses it."""
    for fault in name_faults([Path(item.name) for item in source.tests]):
        yield Finding(what="test photographs", ok=False, detail=fault)


def _sizes(examinations: Sequence[Examination]) -> Iterator[Finding]:
    counts = Counter(examination.size for examination in examinations if examination.size is not None)
    if not counts:
        return
    listed = [f"{width}x{height}: {count}" for (width, height), count in counts.most_common(LISTED)]
    more = f", and {len(counts) - LISTED} other sizes" if len(counts) > LISTED else ""
    smallest = min(min(size) for size in counts)
    yield Finding(what="sizes", ok=True, detail=f"{', '.join(listed)}{more}; the smallest side has {smallest} pixels")


def _gray(source: Source, examined: Sequence[Examination]) -> Iterator[Finding]:
    examinations = [one for one in examined if one.size is not None]
    if not examinations:
        return
    gray = [one.item.name for one in examinations if not one.in_colour and not one.is_mask]
    kind = "truths" if source.kind == "pairs" else "photographs"
    names = f" ({files.listed(gray, LISTED)})" if gray else ""
    detail = f"{len(gray)} of {len(examinations)} {kind} are gray{names}"
    if gray:
        detail += "; from these, the network learns to add no colours"
    masks = sum(one.is_mask for one in examinations)
    if masks:
        detail += f"; {masks} {'is' if masks == 1 else 'are'} black and white only, see `masks`"
    yield Finding(what="colour", ok=len(gray) + masks <= len(examinations) / 2, detail=detail)


def _masks(examinations: Sequence[Examination]) -> Iterator[Finding]:
    masks = [examination.item.name for examination in examinations if examination.is_mask]
    if masks:
        detail = f"{len(masks)} of {len(examinations)} are black and white only, as masks are "
        detail += f"({files.listed(masks, LISTED)}); the network learns from them as from photographs; remove them"
        yield Finding(what="masks", ok=False, detail=detail)


def _copies(examinations: Sequence[Examination]) -> Iterator[Finding]:
    copies = [examination.item.name for examination in examinations if examination.is_copy]
    if copies:
        detail = f"{len(copies)} of {len(examinations)} inputs equal their truths ({files.listed(copies, LISTED)})"
        detail += "; from these, the network learns to change nothing"
        yield Finding(what="copies", ok=len(copies) <= len(examinations) / 2, detail=detail)


def _channels(examinations: Sequence[Examination]) -> Iterator[Finding]:
    exchanged = sum(examination.is_exchanged for examination in examinations)
    if exchanged > len(examinations) / 2:
        detail = f"{exchanged} of {len(examinations)} inputs {EXCHANGED_CHANNELS}"
        yield Finding(what="channels", ok=False, detail=detail)


def _shifts(examinations: Sequence[Examination]) -> Iterator[Finding]:
    shifts = {one.item.name: describe_shift(one.shift) for one in examinations if one.shift is not None}
    if shifts:
        named = [f"{files.printable(name)}: {shift}" for name, shift in list(shifts.items())[:LISTED]]
        more = f", and {len(shifts) - LISTED} more" if len(shifts) > LISTED else ""
        detail = (
            f"{len(shifts)} of {len(examinations)} truths are shifted against their inputs ({', '.join(named)}{more})"
        )
        detail += "; from these, the network learns to shift or to blur; align them"
        yield Finding(what="alignment", ok=False, detail=detail)


def _known_tests(source: Source) -> Iterator[Finding]:
    line = describe_known_tests(source)
    if line:
        yield Finding(what="test photographs", ok=True, detail=line)


def _scenes(items: Sequence[Item]) -> Iterator[Finding]:
    if len(items) < 2:
        return
    labels = split.scene_labels(items, lambda line: None)
    similar = [count for count in Counter(labels).values() if count > 1]
    detail = f"{sum(similar)} of {len(items)} photographs share a scene with another one, in {len(similar)} scenes"
    yield Finding(what="near-duplicates", ok=True, detail=detail)
    default = Split()
    train, validation = split.random_split(len(items), fraction=default.validation, seed=default.seed)
    leaks = split.count_leaks(labels, train, validation)
    detail = f"in a random split, {leaks} of {len(validation)} validation photographs share a scene with a training one"
    yield Finding(what="leaks", ok=True, detail=detail + ("; split.method=scene keeps scenes apart" if leaks else ""))


def _not_used(source: Source) -> Iterator[Finding]:
    """Yield a finding for the files and folders that a run does not use."""
    assert source.folder is not None
    names = ("train_input", "train_gt", "test_input") if source.kind == "pairs" else ("",)
    used = left_out.used_files(source)
    known = left_out.real_paths(used)
    reasons: Counter[str] = Counter()
    for folder in [source.folder / name for name in names if (source.folder / name).is_dir()]:
        images = set(io.find_images(folder))
        has_table = (source.folder / ("test.csv" if folder.name == "test_input" else "train.csv")).is_file()
        unused = "not in train.csv or test.csv" if has_table else "without a partner"
        for path in sorted(folder.iterdir()):
            if path in images:
                reasons[unused] += path not in used
            elif path.is_dir():
                has_others = left_out.has_unused_images(path, known) or not left_out.has_unused_images(path, ())
                reasons["subfolders, which are not searched"] += has_others
            elif path.name.startswith("."):
                reasons["hidden"] += 1
            else:
                needed = missing_decoder(path.suffix.lower())
                why = f"to open it, install {needed}" if needed else "not an image format of toolbox"
                reasons[f"{path.suffix or 'no ending'}, {why}"] += 1
    listed = [f"{count} {files.printable(reason)}" for reason, count in reasons.most_common() if count]
    listed += left_out.describe_other_folders(source)
    if listed:
        yield Finding(what="left out", ok=True, detail="; ".join(listed))

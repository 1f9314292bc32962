"""Photographs that a run can't use: it refuses them before its first step, or leaves them out with --skip-broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from toolbox.data.alignment import describe_shift
from toolbox.data.folders import Item, Source
from toolbox.data.known_tests import describe_known_tests
from toolbox.data.photo_check import EXCHANGED_CHANNELS, Examination, examine
from toolbox.errors import DataError, ImageFileError
from toolbox.imaging import io
from toolbox.utils import files, surface
from toolbox.utils.json_values import read_json_object
from toolbox.utils.plural import counted
from toolbox.utils.shell import shell_word

SAMPLE = 64  # photographs whose pairing is checked before a run; `toolbox doctor --data` checks all
MIN_ITEMS = 2  # one of them for validation
NAMES_IN_ERROR = 3


def check_photos(
    source: Source, *, skip: bool, skipped: Mapping[str, str], report: Callable[[str], None]
) -> dict[str, str]:
    """Check the photographs of a run, and return the reason for each that is to be left out, by its name.

    Args:
        source: the photographs.
        skip: leave out what can't be used; all files are decoded. Otherwise a sample is checked, and faults are errors.
        skipped: what the run has left out so far.
        report: gets the lines for the user.

    Raises:
        DataError: wrong pairs, a test photograph that can't be read, or too few photographs are left.
    """
    if skipped:
        count = counted(len(skipped), "photograph")
        report(f"Left out, as before: {count}; skipped.json in the run folder has the reasons.")
    left = leave_out(source, skipped)
    known_tests = describe_known_tests(left)
    if known_tests:
        report(f"warning: {known_tests}.")
    if skip:
        examinations = examine(left.items)
        broken, broken_tests = _broken(examinations), _broken(examine(left.tests))
        _report(broken, broken_tests, report)
        if source.kind != "sample":
            for line in _doubts([one for one in examinations if one.item.name not in broken], source.kind):
                report(line)
        return {**skipped, **broken_tests, **broken}
    if source.kind != "sample":
        for line in check_pairing(left):
            report(line)
    _require_readable_tests(left.tests)
    return dict(skipped)


@contextmanager
def remedy_for_files() -> Iterator[None]:
    """Say in the error of an image file of a run what to do about it."""
    try:
        yield
    except ImageFileError as error:
        skip = surface.words(command=", or leave it out with --skip-broken", python="")
        raise DataError(f"{str(error).rstrip('.')}. Replace or remove it{skip}.") from error


def require_usable(items: Sequence[Item]) -> None:
    """Raise DataError if a photograph of `split.validation_data` can't be used; they are not left out."""
    for examination in examine(items):
        if examination.kind in ("unreadable", "size"):
            raise DataError(
                f"split.validation_data: {files.printable(examination.item.name)} can't be used: "
                f"{examination.reason.rstrip('.')}. Replace or remove it."
            )


def leave_out(source: Source, names: Mapping[str, str]) -> Source:
    """Return the source without the photographs with these names; DataError if too few are left to train."""
    left = replace(
        source,
        items=tuple(item for item in source.items if item.name not in names),
        tests=tuple(item for item in source.tests if item.name not in names),
    )
    if len(left.items) < MIN_ITEMS:
        raise DataError(
            f"{source.title}: {len(source.items) - len(left.items)} of {len(source.items)} photographs can't be used, "
            f"and at least two are needed to train.{_doctor(source)}"
        )
    return left


def check_pairing(source: Source) -> list[str]:
    """Check a sample of the photographs, spread over the folder, and return a warning line for each kind of problem.

    Raises:
        DataError: pairs that show different photographs, or exchanged folders.
    """
    items, count = source.items, min(len(source.items), SAMPLE)
    examinations = examine([items[index * len(items) // count] for index in range(count)])
    wrong = [examination for examination in examinations if examination.kind in ("swapped", "unrelated", "size")]
    if wrong and len(wrong) > count / 2 and all(examination.kind == "swapped" for examination in wrong):
        exchanged = "train_input/ and train_gt/ seem to be exchanged; rename them."
        if isinstance(image := wrong[0].item.input, Path) and image.parent.name == "train_gt":
            exchanged = "The columns of train.csv seem to be exchanged; correct its header."
        raise DataError(f"{source.title}: the inputs are in colour and the truths are gray. {exchanged}")
    if wrong:
        listed = "; ".join(f"{examination.item.name}: {examination.reason}" for examination in wrong[:NAMES_IN_ERROR])
        more = f" and {len(wrong) - NAMES_IN_ERROR} more" if len(wrong) > NAMES_IN_ERROR else ""
        skip = surface.words(command=", or leave these pairs out with --skip-broken", python="")
        skip = skip if count - len(wrong) >= MIN_ITEMS else ""
        is_of_size = all(examination.kind == "size" for examination in wrong)
        correct = "Correct them" if source.plugin else "Correct the names or train.csv"
        remedy = "Bring each pair to one size" if is_of_size else correct
        raise DataError(
            f"{source.title}: {len(wrong)} of {count} pairs that were checked are wrong. {listed}{more}. "
            f"{remedy}{skip}.{_doctor(source)}"
        )
    return _doubts(examinations, source.kind)


def _doubts(examinations: Sequence[Examination], kind: str) -> list[str]:
    """Return a warning line for each kind of problem of photographs that can be used; `kind` is that of the source."""
    count = len(examinations)
    masks = [examination.item.name for examination in examinations if examination.is_mask]
    gray, copies, exchanged_channels = (
        sum(not examination.in_colour and not examination.is_mask for examination in examinations),
        sum(examination.is_copy for examination in examinations),
        sum(examination.is_exchanged for examination in examinations),
    )
    if exchanged_channels <= count / 2:  # by chance, other formulas for gray give the same
        exchanged_channels = 0
    shifted = [examination for examination in examinations if examination.shift is not None]
    photos = "truths" if kind == "pairs" else "photographs"
    doubts = [
        (
            len(masks),
            f"{photos} that were checked are black and white only, as masks are ({files.listed(masks)}). The network "
            "learns from them as from photographs; remove them from the folder.",
        ),
        (gray, f"{photos} that were checked are gray. From these, the network learns to add no colours."),
        (exchanged_channels, f"inputs that were checked {EXCHANGED_CHANNELS}."),
        (len(shifted), describe_shifted(shifted) if shifted else ""),
        (copies, "inputs that were checked equal their truths. From these, the network learns to change nothing."),
    ]
    return [
        f"warning: {f'All {number}' if number == count else f'{number} of {count}'} {doubt}"
        for number, doubt in doubts
        if number
    ]


def describe_shifted(shifted: Sequence[Examination]) -> str:
    """Return a sentence on shifted truths, at least one, to follow their number."""
    first = shifted[0]
    assert first.shift is not None
    example = f"{files.printable(first.item.name)}: {describe_shift(first.shift)}"
    return (
        f"truths that were checked are shifted against their inputs ({example}). From these, the network learns to "
        "shift or to blur; align them."
    )


def write_skipped(path: Path, reasons: Mapping[str, str]) -> None:
    """Write the photographs that a run leaves out; OutputError if they can't be written."""
    files.write_json(path, dict(reasons))


def read_skipped(path: Path) -> dict[str, str]:
    """Return the photographs that a run leaves out, with the reasons; empty if it leaves out none.

    Raises:
        DataError: the file can't be read.
    """
    try:
        return {name: str(reason) for name, reason in read_json_object(path).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{files.printable(path)} can't be read: {files.printable(str(error))}. It lists the photographs that the "
            f"run leaves out. Restore it, or delete it{surface.words(command=' and use --skip-broken', python='')}."
        ) from error


def _doctor(source: Source) -> str:
    """Return a sentence that names the command that lists all faults; empty if it can't read the source."""
    if source.plugin:
        return ""
    return surface.words(
        command=f" To see all: toolbox doctor --data {shell_word(str(source.folder))}",
        python=" The command `toolbox doctor` lists all.",
    )


def _broken(examinations: Sequence[Examination]) -> dict[str, str]:
    return {examination.item.name: examination.reason for examination in examinations if examination.kind}


def _report(broken: Mapping[str, str], broken_tests: Mapping[str, str], report: Callable[[str], None]) -> None:
    for noun, reasons in (("photograph", broken), ("test photograph", broken_tests)):
        if not reasons:
            continue
        option = surface.words(command=" (--skip-broken)", python="")
        report(f"Left out{option}, {counted(len(reasons), noun)}:")
        for name, reason in reasons.items():
            report(f"  {files.printable(name)}: {reason}")
    if broken_tests:
        report("warning: the submission will lack the test photographs that are left out.")


def _require_readable_tests(tests: Sequence[Item]) -> None:
    """Raise DataError if a test photograph is not a complete image file, because the run would fail at its end."""
    for item in tests:
        path = item.input or item.truth
        assert path is not None
        try:
            io.read_size(path)
        except DataError as error:
            remedy = surface.words(command="replace it, or use --skip-broken", python="replace it")
            raise DataError(f"{str(error).rstrip('.')}. The run would restore it at its end; {remedy}") from error

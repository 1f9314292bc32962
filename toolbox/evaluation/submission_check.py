"""Check a submission zip against the test photographs, without their truths."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from toolbox.data import folders
from toolbox.errors import DataError, UsageError
from toolbox.evaluation.score_files import ZIP_ERRORS, nested_remedy, zip_remedy
from toolbox.evaluation.submission import submission_names
from toolbox.imaging import io
from toolbox.utils import files

# The color types of PNG (ISO/IEC 15948, table 11.1).
MODES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray with transparency", 6: "RGB with transparency"}


def check_submission(archive: Path, tests: Path) -> tuple[list[str], int]:
    """Compare a submission with the test photographs.

    Args:
        archive: the zip.
        tests: a data folder with ``test_input/``, or the folder of the test photographs itself.

    Returns:
        A line that names the files in a folder; a line for each other fault, in the order of the names: a file that is
        missing, that is there twice, that belongs to no test photograph, can't be read, has another size, or is not RGB
        of 8 bits. And the number of test photographs.

    Raises:
        UsageError: a path does not exist, or the archive is a folder.
        DataError: the archive can't be read, or there are no test photographs.
    """
    expected = _expected_sizes(tests)
    files.require_readable(archive, "PREDICTIONS", "zip")
    if os.path.isdir(archive):
        raise UsageError(f"{files.printable(archive)} is a folder; a submission is a zip. {zip_remedy(archive)}")
    files.require_no_pipe(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry.filename for entry in opened.infolist() if not entry.is_dir()]
            nested = {name: base for name in entries if (base := _base(name)) != name and base in expected}
            checked = [name for name in entries if nested.get(name) not in entries]
            faults = {name: _fault(opened, name, nested.get(name, name), expected) for name in checked}
    except ZIP_ERRORS as error:
        raise DataError(f"{files.printable(archive)} can't be read as a zip: {files.printable(str(error))}") from error
    lines = [(name, f"is in the zip {count} times") for name, count in Counter(entries).items() if count > 1]
    lines += [(name, fault) for name, fault in faults.items() if fault]
    lines += [(name, "is missing") for name in expected if name not in {*faults, *nested.values()}]
    return [*_nested_line(nested), *(f"{files.printable(name)} {fault}" for name, fault in sorted(lines))], len(
        expected
    )


def _base(name: str) -> str:
    """Return the name of a file in a zip without its folders."""
    return Path(name.replace("\\", "/")).name


def _nested_line(nested: Mapping[str, str]) -> list[str]:
    """Return the line that names the files that are in a folder of the zip; none if there are none."""
    if not nested:
        return []
    verb = "is" if len(nested) == 1 else "are"
    return [f"{files.listed(sorted(nested))} {verb} in a folder; a submission has none. {nested_remedy(min(nested))}"]


def _expected_sizes(tests: Path) -> dict[str, tuple[int, int]]:
    """Return width and height of each file that the submission must have, by its name."""
    files.require_folder(tests, "--check")
    is_data_folder = (tests / "test_input").is_dir()
    items = folders.list_tests(tests) if is_data_folder else ()
    photos = [Path(item.images[0].name) for item in items] if items else io.find_images(tests)
    paths = [tests / "test_input" / photo for photo in photos] if is_data_folder else photos
    if not paths:
        remedy = folders.subfolder_hint(tests) or " Name the folder that has them, or the data folder with test_input/."
        raise DataError(f"--check {files.printable(tests)} has no test photographs.{remedy}")
    return dict(zip(submission_names(paths), map(io.read_size, paths), strict=True))


def _fault(archive: zipfile.ZipFile, name: str, base: str, expected: Mapping[str, tuple[int, int]]) -> str:
    """Return what is wrong with a file of the archive, apart from being in a folder; empty if nothing is.

    Args:
        archive: the zip.
        name: the name of the file in it.
        base: the name that it must have.
        expected: width and height of each file that the submission must have.
    """
    if base not in expected:
        stems = {Path(known).stem for known in expected}
        return "must end in .png" if Path(_base(name)).stem in stems else "belongs to no test photograph"
    try:
        data = archive.read(name)
        photo = io.decode(data, name)
    except DataError as error:
        return f"can't be read: {str(error).removeprefix(name).lstrip(': ')}"
    except ZIP_ERRORS as error:
        return f"can't be read: {files.printable(str(error))}"
    height, width = photo.pixels.shape[:2]
    if (width, height) != expected[base]:
        return "is {}x{}, and its test photograph is {}x{}".format(width, height, *expected[base])
    if photo.format != "PNG":
        return f"is {photo.format}, not PNG"
    depth, color = data[24:26]  # in IHDR, the first chunk
    if (depth, color) != (8, 2):
        return f"is {MODES.get(color, 'unknown')} of {depth} bits; it must be RGB of 8 bits"
    return ""

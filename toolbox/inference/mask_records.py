"""The photograph and the options of each mask of `toolbox mask`, so that no mask is used for another photograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolbox.errors import DataError, OutputError
from toolbox.imaging import io
from toolbox.inference.flag_changes import REPLACE_REMEDY, flag_changes
from toolbox.inference.output_folders import MASK_RECORDS
from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.text_files import read_text


@dataclass(frozen=True, kw_only=True)
class MaskRecord:
    """What a mask was made from.

    Attributes:
        photo: the path of the photograph.
        sha256: of its file.
        flags: the options of `toolbox mask` that say what is found and that differ from the defaults.
    """

    photo: str
    sha256: str
    flags: dict[str, str] = field(default_factory=dict)


class MaskRecords:
    """The record of each mask in a folder, by its path below the folder."""

    def __init__(self, folder: Path, flags: Mapping[str, str]) -> None:
        """Read the records of a folder; a missing or damaged file is no record.

        Args:
            folder: the folder of the masks.
            flags: the options of this command, as in `MaskRecord`.
        """
        self.folder = folder
        self.path = folder / MASK_RECORDS
        self.flags = dict(flags)
        self.records: dict[str, MaskRecord] = {}
        try:
            stored = parse_json(read_text(self.path))
            self.records = {str(name): MaskRecord(**record) for name, record in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass

    def require_same_origin(self, mask: Path, photo: Path) -> None:
        """Raise OutputError if an existing mask is not that of this photograph and these options.

        A mask without a record, such as one that was drawn by hand, is accepted if it has the size of the photograph.
        """
        record = self.records.get(self._key(mask))
        if record is None:
            self._require_size(mask, photo)
            return
        if record.sha256 != files.sha256(photo):
            is_same_path = record.photo == files.printable(photo)
            what = "an earlier version of this photograph" if is_same_path else record.photo
            raise OutputError(f"{files.printable(mask)} is the mask of {what}; {REPLACE_REMEDY}")
        if changes := flag_changes(record.flags, self.flags):
            raise OutputError(f"{files.printable(mask)} was made with other options ({changes}); {REPLACE_REMEDY}")

    def add(self, mask: Path, photo: Path) -> None:
        """Record which photograph a mask was made from."""
        record = MaskRecord(photo=files.printable(photo), sha256=files.sha256(photo), flags=self.flags)
        self.records[self._key(mask)] = record

    def save(self) -> None:
        """Write the records, if there are some; OutputError if they can't be written."""
        if self.records:
            files.write_json(self.path, {name: asdict(record) for name, record in sorted(self.records.items())})

    def _key(self, mask: Path) -> str:
        return mask.relative_to(self.folder).as_posix()

    @staticmethod
    def _require_size(mask: Path, photo: Path) -> None:
        try:
            size, expected = io.read_gray(mask).shape, io.to_gray8(io.read(photo, accept_cut=True)).shape
        except DataError as error:
            raise OutputError(
                f"{files.printable(mask)} exists, and it is not known whether it belongs to this photograph: {error}"
            ) from error
        if size != expected:
            sizes = f"{size[1]}x{size[0]} pixels, and this photograph {expected[1]}x{expected[0]}"
            raise OutputError(
                f"{files.printable(mask)} is the mask of another photograph: it has {sizes}; {REPLACE_REMEDY}"
            )

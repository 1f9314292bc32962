"""Text files that a user wrote, in any of the encodings of Unicode."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

# In this order: the mark of UTF-32 begins with that of UTF-16. The codecs remove the marks.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 if it begins with their byte order mark.

    Notepad and PowerShell write byte order marks.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no plain file, or not text in these encodings; the message says so in one line.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading a pipe that nobody writes to would wait forever
        raise ValueError("it is not a plain file")
    data = Path(path).read_bytes()
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in {encoding}: byte {error.start} is wrong; save it as UTF-8") from error

"""Directories of EXIF and TIFF that point to themselves, to those above them, or to many others. About 1 s."""

from __future__ import annotations

import io as streams
import struct

import pytest
from pictures import saved, smooth
from PIL import Image

from toolbox.imaging import io, tiff_pictures
from toolbox.imaging.io import decode, encode

EXIF, GPS, INTEROP, SUB_IFDS = 0x8769, 0x8825, 0xA005, 330
POINTERS = {("", EXIF), ("", GPS), ("exif", INTEROP)}
NAMES = {EXIF: "exif", GPS: "gps", INTEROP: "interop"}
SECOND = 8 + 2 + 2 * 12 + 4  # where the second directory is, behind one of two tags


def entry(tag, kind, value, count=1):
    return struct.pack("<HHII", tag, kind, count, value)


def directory(*entries, following=0):
    return struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)


MAKE = entry(271, 2, int.from_bytes(b"Abc", "little"), 4)
ORIENTATION = entry(274, 3, 6)
DATE = entry(0x9003, 2, int.from_bytes(b"200", "little"), 4)
LOOPS = {
    "EXIF is the first directory": [directory(ORIENTATION, entry(EXIF, 4, 8))],
    "GPS is the first directory": [directory(ORIENTATION, entry(GPS, 4, 8))],
    "the next directory is the first": [directory(MAKE, ORIENTATION, following=8)],
    "a directory below is the first": [directory(MAKE, entry(SUB_IFDS, 4, 8))],
    "EXIF is in EXIF": [
        directory(MAKE, entry(EXIF, 4, SECOND)),
        directory(DATE, entry(EXIF, 4, SECOND), entry(GPS, 4, SECOND), entry(SUB_IFDS, 4, SECOND), entry(514, 4, 99)),
    ],
    "interoperability is EXIF": [directory(MAKE, entry(EXIF, 4, SECOND)), directory(DATE, entry(INTEROP, 4, SECOND))],
    "interoperability is the first": [directory(MAKE, entry(EXIF, 4, SECOND)), directory(DATE, entry(INTEROP, 4, 8))],
    "GPS points to EXIF": [
        directory(MAKE, entry(GPS, 4, SECOND)),
        directory(entry(1, 2, ord("N"), 2), entry(EXIF, 4, SECOND), entry(SUB_IFDS, 13, 8)),
    ],
}


def tags_of(data):
    """Return the tags of EXIF bytes with the name of their directory; all directories that are known are followed."""
    data = data.removeprefix(b"Exif\0\0")
    order = "<" if data.startswith(b"II") else ">"
    assert struct.unpack_from(f"{order}I", data, 4) == (8,)
    found, waiting = [], [("", 8)]
    while waiting:
        name, offset = waiting.pop()
        (count,) = struct.unpack_from(f"{order}H", data, offset)
        for number in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHII", data, offset + 2 + 12 * number)
            found.append((name, tag))
            if (name, tag) in POINTERS:
                waiting.append((NAMES[tag], value))
    return found


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", LOOPS)
def test_exif_that_points_to_itself_leaves_no_offset(name, source):
    exif = b"II*\0" + struct.pack("<I", 8) + b"".join(LOOPS[name])
    photo = decode(saved(smooth(32, 48), source, exif=exif if source == "PNG" else b"Exif\0\0" + exif), "a")
    assert photo.pixels.shape[:2] == ((48, 32) if ORIENTATION in LOOPS[name][0] else (32, 48))
    is_noted = "EXIF directories inside others left out" in photo.notes
    assert is_noted == (name.split()[0] in ("EXIF", "GPS"))
    tags = [] if photo.exif is None else tags_of(photo.exif)
    assert {tag for _, tag in tags} <= {271, 0x9003, 1, EXIF, GPS}
    assert all(pair in POINTERS for pair in tags if pair[1] in NAMES)
    for target in ("JPEG", "PNG", "WEBP", "TIFF"):
        data, notes = encode(io.to_rgb8(photo), target, photo.exif)
        assert not notes
        with Image.open(streams.BytesIO(data)) as image:
            assert image.getexif().get(274, 1) == 1


def tiff(pages, subs, following):
    """Return a TIFF of one small picture, as so many directories, each with the same directories below it."""
    size = 2 + 10 * 12 + 4
    data = b"II*\0" + struct.pack("<I", 16) + bytes(range(8))
    shared = [entry(256, 3, 2), entry(257, 3, 2), entry(258, 3, 8), entry(259, 3, 1), entry(262, 3, 1)]
    shared += [entry(273, 4, 8), entry(277, 3, 1), entry(278, 3, 2), entry(279, 4, 4)]
    below = entry(SUB_IFDS, 4, 16 + pages * size, len(subs))
    for page in range(pages):
        data += directory(*shared, below, following=16 + (page + 1) * size if page < pages - 1 else following)
    return data + struct.pack(f"<{len(subs)}I", *subs)


@pytest.mark.parametrize("subs", [[16] * 1000, [16 + 126 * number for number in range(1000)]], ids=["same", "others"])
@pytest.mark.parametrize("following", [0, 16])
def test_tiff_directories_in_a_loop_are_read_at_most_twice(subs, following, monkeypatch):
    calls, read = [], tiff_pictures._read_picture

    def counted(*arguments):
        calls.append(arguments)
        assert len(calls) <= 2000
        return read(*arguments)

    monkeypatch.setattr(tiff_pictures, "_read_picture", counted)
    photo = decode(tiff(1000, subs, following), "a.tif")
    assert photo.pixels.ravel().tolist() == [0, 1, 2, 3]

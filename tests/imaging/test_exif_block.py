"""EXIF keeps its byte order and its types, and the camera's own data their place. About 2 s."""

from __future__ import annotations

import io as streams
import struct

import numpy as np
import pytest
from pictures import oriented, saved, smooth
from PIL import Image
from PIL.ExifTags import Base as Tag

from toolbox.imaging import io
from toolbox.imaging.exif_block import Block, Entry, write_block
from toolbox.imaging.io import decode, encode

EXIF, MAKER_NOTE, COMMENT, CFA = 0x8769, 0x927C, 0x9286, 0xA302
UNDEFINED, ASCII, SHORT, LONG, RATIONAL = 7, 2, 3, 4, 5
TEXT = "Großmutter, 할머니"
TARGETS = ["JPEG", "PNG", "WEBP", "TIFF"]


def short(order, *values):
    return Entry(SHORT, struct.pack(f"{order}{len(values)}H", *values))


def camera(order, place=300, orientation=1):
    """Return EXIF with values that depend on the byte order, and a MakerNote whose offset counts from the beginning."""
    words = b"UNICODE\0" + TEXT.encode("utf-16-le" if order == "<" else "utf-16-be")
    note = struct.pack(f"{order}HHHIII", 1, 6, ASCII, 20, place + 18, 0) + b"IMG:PowerShot JPEG\0\0"
    settings = {
        COMMENT: Entry(UNDEFINED, words),
        CFA: Entry(UNDEFINED, struct.pack(f"{order}2H", 2, 2) + bytes([0, 1, 1, 2])),
        MAKER_NOTE: Entry(UNDEFINED, note, place),
        Tag.ExifImageWidth: short(order, 48),
        Tag.ExifImageHeight: Entry(LONG, struct.pack(f"{order}I", 32)),
        0x829A: Entry(RATIONAL, struct.pack(f"{order}2I", 10, 2500)),
    }
    first = {Tag.Make: Entry(ASCII, b"Canon\0"), EXIF: settings, Tag.Orientation: short(order, orientation)}
    return b"Exif\0\0" + write_block(order, first)


def block_of(data, kind):
    if kind == "TIFF":
        return data
    with Image.open(streams.BytesIO(data)) as image:
        return image.info["exif"].removeprefix(b"Exif\0\0")


def settings_of(block):
    read = Block(block)
    return read, read.directory(read.first[EXIF])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_byte_order_and_types_stay_and_so_does_the_place_of_the_maker_note(order, source, target, orientation):
    made = camera(order, orientation=orientation)
    pixels = oriented(smooth(32, 48), orientation)
    photo = decode(saved(pixels, source, exif=made), "a")
    assert not [note for note in photo.notes if "left out" in note]
    data, notes = encode(io.to_rgb8(photo), target, photo.exif)
    assert not notes
    block = block_of(data, target)
    read, settings = settings_of(block)
    assert read.order == order and read.first[Tag.Make] == Entry(ASCII, b"Canon\0")
    comment = settings[COMMENT]
    assert comment.kind == UNDEFINED
    assert comment.data[8:].decode("utf-16-le" if order == "<" else "utf-16-be") == TEXT
    assert struct.unpack_from(f"{order}2H", settings[CFA].data) == (2, 2)
    assert struct.unpack(f"{order}2I", settings[0x829A].data) == (10, 2500)
    assert settings[Tag.ExifImageWidth].kind == SHORT and settings[Tag.ExifImageHeight].kind == LONG
    note = settings[MAKER_NOTE]
    (pointer,) = struct.unpack_from(f"{order}I", note.data, 10)
    assert (note.place, note.kind) == (300, UNDEFINED) and block[pointer : pointer + 13] == b"IMG:PowerShot"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_of_either_byte_order_has_the_same_pixels(order, depth):
    pixels = smooth(700, 523).astype(depth) * (257 if depth == np.uint16 else 1)
    data, notes = encode(pixels, "TIFF", camera(order), b"<x:xmpmeta/>")
    assert data[:2] == (b"II" if order == "<" else b"MM") and not notes
    assert np.array_equal(decode(data, "a").pixels, pixels)
    if depth == np.uint8:
        with Image.open(streams.BytesIO(data)) as image:
            assert np.array_equal(np.array(image), pixels) and image.tag_v2[700] == b"<x:xmpmeta/>"


@pytest.mark.parametrize("place", [8, 9, 27, 60, 150, 4000])
def test_nothing_is_written_across_the_maker_note(place):
    read, settings = settings_of(camera("<", place)[6:])
    assert settings[MAKER_NOTE].place == place and read.first[Tag.Make].data == b"Canon\0"
    assert settings[COMMENT].data[8:].decode("utf-16-le") == TEXT and settings[CFA].data[4:] == bytes([0, 1, 1, 2])


@pytest.mark.parametrize("place", [200, 100_000])
def test_a_maker_note_far_behind_in_a_tiff_is_left_out_with_a_note(place):
    data, _ = encode(smooth(32, 48), "TIFF", camera("<", place))
    photo = decode(data, "a")
    is_far = place > 60_000
    assert (photo.notes == ("MakerNote (the camera's own data) left out",)) == is_far
    assert (MAKER_NOTE in settings_of(photo.exif)[1]) != is_far
    assert COMMENT in settings_of(photo.exif)[1]


def test_values_that_all_claim_the_same_bytes_are_not_copied_for_each_tag():
    count = 1000
    entries = b"".join(struct.pack("<HHII", 40_000 + tag, UNDEFINED, 12_000, 8) for tag in range(count))
    block = b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    photo = decode(saved(smooth(), "JPEG", exif=b"Exif\0\0" + block), "a")
    assert photo.exif is not None and len(photo.exif) < 2 * len(block)


@pytest.mark.parametrize("place", range(60, 140))
def test_nothing_is_written_over_a_value_that_stays_at_its_place(place):
    """A value of an odd number of bytes before it moved the next one by a byte into it."""
    settings = {0x927C: Entry(7, b"maker note", place), 0x9286: Entry(7, b"c" * 9), 0xA420: Entry(2, b"d" * 21 + b"\0")}
    first = {0x010E: Entry(2, b"x" * 7), 0x010F: Entry(2, b"y" * 11), 0x8769: settings, 0x8298: Entry(2, b"z" * 5)}
    block = Block(write_block("<", first))
    read = block.directory(block.first[0x8769])
    assert {tag: value.data for tag, value in read.items()} == {tag: value.data for tag, value in settings.items()}
    assert read[0x927C].place == place
    assert all(block.first[tag].data == value.data for tag, value in first.items() if tag != 0x8769)

"""Tags that describe the structure of the file that had them are not those of a result."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import saved, smooth
from PIL import Image
from PIL.ExifTags import Base as Tag

from toolbox.imaging import io

DESCRIPTIONS = {
    "ImageJ": "ImageJ=1.53t\nimages=10\nslices=10\nloop=false\n",
    "tifffile": '{"shape": [10, 24, 37]}',
    "OME": '<?xml version="1.0" encoding="UTF-8"?><!-- Warning --><OME xmlns="http://www.openmicroscopy.org">',
    "Aperio": "Aperio Image Library v10.0.51\n46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30",
}
NOTE = "image description with the file's structure left out"


def tags_of(photo, fmt):
    """Return the tags of a result in a format that has the EXIF of a decoded photograph."""
    data, _ = io.encode(io.to_rgb8(photo), fmt, photo.exif)
    decoded = io.decode(data, "result")
    exif = Image.Exif()
    if decoded.exif:
        exif.load(decoded.exif)
    return exif


@pytest.mark.parametrize("result", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_of_other_pictures_is_not_copied(name, result):
    tags = {270: DESCRIPTIONS[name], 305: "tifffile.py", 315: "Anna"}
    data = saved(Image.fromarray(smooth()), "TIFF", tiffinfo=tags)
    photo = io.decode(data, "a")
    assert NOTE in photo.notes
    written = tags_of(photo, result)
    assert Tag.ImageDescription not in written and Tag.Software not in written and written[Tag.Artist] == "Anna"


@pytest.mark.parametrize("text", ["Grandmother in 1921", "An image from ImageJ", "{a: b}", "OME and Aperio", ""])
def test_a_description_for_people_is_copied(text):
    tags = {270: text, 305: "EPSON Scan 3.9", 315: "Anna"}
    photo = io.decode(saved(Image.fromarray(smooth()), "TIFF", tiffinfo=tags), "a")
    written = tags_of(photo, "PNG")
    assert not photo.notes and written.get(Tag.ImageDescription, "") == text
    assert written[Tag.Software] == "EPSON Scan 3.9"


def test_how_the_samples_were_stored_is_not_copied():
    exif = Image.Exif()
    exif[Tag.Make] = "ACME"
    exif[Tag.BitsPerSample], exif[Tag.SamplesPerPixel], exif[Tag.PhotometricInterpretation] = 8, 1, 1
    exif[Tag.Compression], exif[Tag.PlanarConfiguration] = 6, 1
    gray = np.repeat(smooth()[..., :1], 1, axis=2)[..., 0]
    for fmt in ("JPEG", "PNG", "WEBP"):
        photo = io.decode(saved(Image.fromarray(gray), fmt, exif=exif), "a")
        assert set(tags_of(photo, "PNG")) == {Tag.Make}


def test_the_program_of_the_scanner_is_kept_beside_a_description_of_the_structure():
    """It was left out without a word, like what a person had added to the description."""
    tags = {270: '{"shape": [24, 37], "Author": "Anna"}', 305: "ScanPro 3", 315: "Anna"}
    photo = io.decode(saved(Image.fromarray(smooth()), "TIFF", tiffinfo=tags), "a")
    assert photo.notes == (NOTE,) and tags_of(photo, "PNG")[Tag.Software] == "ScanPro 3"

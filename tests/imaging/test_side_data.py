"""Colour chunks, EXIF, resolution, several pictures in a file, and good files with odd headers. About 2 s."""

from __future__ import annotations

import io as streams
import lzma
import struct
import zlib

import cv2
import numpy as np
import pytest
from pictures import chunk, exif_of, png16, saved, smooth, tiff16
from PIL import Image, PngImagePlugin, TiffImagePlugin, features
from PIL.ExifTags import Base as Tag
from profiles import profile

from toolbox.color import integer_luma
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.imaging.io import decode, encode
from toolbox.imaging.left_out import left_out_notes


def with_chunks(data, *chunks):
    """Return a PNG with more chunks behind its header."""
    return data[:33] + b"".join(chunk(kind, body) for kind, body in chunks) + data[33:]


def gama(value):
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def to_srgb(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# ---- colour


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gamma", [1.0, 0.55, 1 / 1.8])
def test_gamma_is_converted_to_srgb(depth, channels, gamma):
    pixels = smooth(32, 48) if channels == 3 else smooth(32, 48)[..., 0]
    data = saved(pixels, "PNG") if depth == 8 else png16(pixels.astype(np.uint16) * 257)
    photo = decode(with_chunks(data, gama(gamma)), "a")
    expected = to_srgb((pixels / 255) ** (1 / gamma)) * 255
    assert np.abs(photo.pixels / (257 if depth == 16 else 1) - expected).max() < 2.5
    assert "colours converted to sRGB" in photo.notes


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(1), (b"sRGB", b"\0")],
        [(b"cICP", b"\x01\x0d\0\x01"), gama(1)],
        [(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
    ],
)
def test_what_means_srgb_changes_nothing(chunks):
    photo = decode(with_chunks(saved(smooth(), "PNG"), *chunks), "a")
    assert np.array_equal(photo.pixels, smooth()) and not photo.notes


def test_primaries_are_converted():
    p3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    by_chrm = decode(with_chunks(saved(smooth(), "PNG"), (b"cHRM", p3)), "a").pixels
    by_cicp = decode(with_chunks(saved(smooth(), "PNG"), (b"cICP", b"\x0c\x0d\0\x01")), "a").pixels
    deep = decode(with_chunks(png16(smooth().astype(np.uint16) * 257), (b"cICP", b"\x0c\x0d\0\x01")), "a").pixels
    linear = np.where(smooth() <= 0.04045 * 255, smooth() / 255 / 12.92, ((smooth() / 255 + 0.055) / 1.055) ** 2.4)
    # From Display P3 to sRGB: CSS Color 4, sample code.
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0979]])
    expected = to_srgb((linear @ matrix.T).clip(0, 1)) * 255
    for found in (by_chrm, by_cicp, deep / 257):
        assert np.abs(found - expected).max() < 3


def test_colour_codes_come_before_a_profile_and_gamma_after_it():
    icc = profile(b"RGB ", gamma=512)
    data = saved(smooth(), "PNG", icc_profile=icc)
    alone = decode(data, "a").pixels
    assert np.array_equal(decode(with_chunks(data, gama(1)), "a").pixels, alone)
    assert np.array_equal(decode(with_chunks(data, (b"cICP", b"\x01\x0d\0\x01")), "a").pixels, smooth())


@pytest.mark.parametrize(
    ("kind", "body", "note"),
    [
        (b"cICP", b"\x09\x10\0\x01", "HDR colours (PQ) are not converted"),
        (b"cICP", b"\x09\x12\0\x01", "HDR colours (HLG) are not converted"),
        (b"cICP", b"\x63\x0d\0\x01", "colour code of an unknown kind ignored"),
        (b"gAMA", bytes(4), "unusable PNG gamma ignored"),
        (b"cHRM", bytes(32), "unusable PNG chromaticities ignored"),
    ],
)
def test_colours_that_cant_be_converted_have_a_note(kind, body, note):
    photo = decode(with_chunks(saved(smooth(), "PNG"), (kind, body)), "a")
    assert photo.notes == (note,) and np.array_equal(photo.pixels, smooth())


# ---- EXIF


def camera_exif():
    exif = exif_of(6)
    exif[34665] = {0xA001: 65535, 0xA002: 48, 0xA003: 32, 0xA005: {1: "R98", 2: b"0100"}, 0x9003: "2001:01:01 00:00:00"}
    exif[513], exif[514] = 100, 200
    return exif


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_has_no_dangling_offsets_and_the_size_of_the_result(source, target):
    photo = decode(saved(smooth(32, 48), source, exif=camera_exif()), "a")
    assert photo.pixels.shape[:2] == (48, 32)
    rgb = io.to_rgb8(photo)
    data, notes = encode(rgb, target, photo.exif)
    with Image.open(streams.BytesIO(data)) as image:
        exif = image.getexif()
        settings = exif.get_ifd(34665)
        assert (settings[0xA002], settings[0xA003], settings[0xA001]) == (32, 48, 1) and not notes
        assert exif.get_ifd(0xA005)[1] == "R98" and settings[0x9003] == "2001:01:01 00:00:00"
        assert 513 not in exif and exif.get(274, 1) == 1


def test_an_interoperability_directory_that_is_not_there():
    exif = exif_of(1)
    exif[34665] = {0xA005: 60_000, 0x9003: "2001:01:01 00:00:00"}
    photo = decode(saved(smooth(), "JPEG", exif=exif), "a")
    kept = Image.Exif()
    kept.load(photo.exif)
    assert 0xA005 not in kept.get_ifd(34665) and kept.get_ifd(34665)[0x9003] == "2001:01:01 00:00:00"


def raw_text(exif, name=b"exif", head=True):
    data = exif.tobytes() if head else exif.tobytes()[6:]
    return b"\n" + name + f"\n{len(data):8d}\n".encode() + data.hex().encode() + b"\n"


@pytest.mark.parametrize("keyword", [b"exif", b"APP1"])
@pytest.mark.parametrize("kind", [b"zTXt", b"tEXt", b"iTXt"])
def test_exif_in_the_text_of_a_png(keyword, kind):
    text = raw_text(exif_of(6), keyword, head=keyword == b"APP1")
    body = {
        b"zTXt": b"\0\0" + zlib.compress(text),
        b"tEXt": b"\0" + text,
        b"iTXt": b"\0\1\0\0\0" + zlib.compress(text),
    }[kind]
    photo = decode(with_chunks(saved(smooth(32, 48), "PNG"), (kind, b"Raw profile type " + keyword + body)), "a")
    assert photo.pixels.shape[:2] == (48, 32) and photo.notes == ("orientation applied",)
    kept = Image.Exif()
    kept.load(photo.exif)
    assert kept[271] == "Maker"


def test_exif_in_the_text_of_a_png_is_read_whatever_its_header_line_is():
    body = b"\0\0" + zlib.compress(raw_text(exif_of(6), b"generic profile"))
    photo = decode(with_chunks(saved(smooth(32, 48), "PNG"), (b"zTXt", b"Raw profile type APP1" + body)), "a")
    assert photo.pixels.shape[:2] == (48, 32) and photo.notes == ("orientation applied",)


@pytest.mark.parametrize("kind", [b"icc", b"icm", b"APP1", b"exif", b"APP12"])
def test_a_raw_profile_that_is_not_read_counts_as_text_that_is_left_out(kind):
    text = b"Raw profile type " + kind + b"\0\0" + zlib.compress(b"\n" + kind + b"\n       3\n616263\n")
    assert decode(with_chunks(saved(smooth(), "PNG"), (b"zTXt", text)), "a").notes == ("PNG text left out",)


def test_the_orientation_of_xmp_counts_if_exif_has_none():
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    data = with_chunks(saved(smooth(32, 48), "PNG"), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    photo = decode(data, "a")
    assert photo.pixels.shape[:2] == (48, 32) and photo.notes == ("XMP left out", "orientation applied")
    both = saved(smooth(32, 48), "JPEG", xmp=packet, exif=exif_of(1))
    assert decode(both, "a").pixels.shape[:2] == (32, 48)


# ---- resolution and other side data


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF"])
def test_the_resolution_is_kept(source, target):
    photo = decode(saved(smooth(), source, dpi=(300, 300)), "a")
    data, _ = encode(io.to_rgb8(photo), target, photo.exif)
    with Image.open(streams.BytesIO(data)) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.5)


@pytest.mark.parametrize(
    ("fmt", "in_exif", "in_file", "expected"),
    [
        ("PNG", 72, 600, 600),  # exiftool adds 72 with any tag
        ("PNG", 300, 600, 600),
        ("PNG", 300, 300, 300),
        ("JPEG", 72, 600, 600),
        ("JPEG", 300, 72, 300),
        ("JPEG", 300, 600, 300),
        ("JPEG", 72, 72, 72),
    ],
)
def test_of_two_resolutions_the_one_that_a_scanner_wrote_is_kept(fmt, in_exif, in_file, expected):
    exif = Image.Exif()
    exif[Tag.XResolution] = exif[Tag.YResolution] = float(in_exif)
    exif[Tag.ResolutionUnit], exif[Tag.Make] = 2, "Epson"
    photo = decode(saved(smooth(), fmt, dpi=(in_file, in_file), exif=exif), "a")
    with Image.open(streams.BytesIO(encode(smooth(), "PNG", photo.exif)[0])) as image:
        assert image.info["dpi"] == pytest.approx((expected, expected), abs=0.5)
        assert image.getexif()[Tag.XResolution] == pytest.approx(expected, abs=0.5)
        assert image.getexif()[Tag.Make] == "Epson"


@pytest.mark.parametrize("dpi", [0, 72, 96])
def test_the_resolution_of_a_screen_in_a_bmp_is_not_that_of_the_photograph(dpi):
    assert b"pHYs" not in encode(smooth(), "PNG", decode(saved(smooth(), "BMP", dpi=(dpi, dpi)), "a").exif)[0]


def test_a_tiff_keeps_the_names_of_the_document_and_the_page():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[269], tags[285], tags[316] = "album 3", "page 7", "scanner"
    photo = decode(saved(smooth(), "TIFF", tiffinfo=tags), "a")
    data, _ = encode(io.to_rgb8(photo), "TIFF", photo.exif)
    with Image.open(streams.BytesIO(data)) as image:
        assert [image.tag_v2.get(tag) for tag in (269, 285, 316)] == ["album 3", "page 7", "scanner"]


def test_an_extra_channel_of_a_tiff_is_noted():
    infrared = np.full((24, 37), 200, np.uint8)
    infrared[4:8] = 0  # dust is dark
    pixels = np.dstack([smooth(), infrared])
    photo = decode(saved(Image.frombytes("RGBX", (37, 24), pixels.tobytes()), "TIFF"), "a")
    assert photo.notes == ("extra channel left out",) and photo.alpha is None
    photo = decode(saved(pixels, "TIFF"), "a")
    assert photo.notes == () and photo.alpha is not None


def test_what_a_result_does_not_get_is_noted():
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "someone")
    assert decode(saved(smooth(), "PNG", pnginfo=info), "a").notes == ("PNG text left out",)
    assert decode(saved(smooth(), "JPEG", comment=b"hello"), "a").notes == ("comment left out",)
    assert decode(saved(smooth(), "WEBP", xmp=b"<x/>"), "a").notes == ("XMP left out",)
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 8) + b"\x1c\x02\x78\0\x03abc"
    jpeg = saved(smooth(), "JPEG")
    jpeg = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + jpeg[2:]
    assert decode(jpeg, "a").notes == ("IPTC left out",)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33723] = b"\x1c\x02\x78\0\x03abc"
    assert decode(saved(smooth(), "TIFF", tiffinfo=tags), "a").notes == ("IPTC left out",)
    found = ("IPTC left out",)
    for number, kind, notes in ((0x0404, 1, found), (0x0404, 7, found), (0x03ED, 1, ()), (0x03ED, 7, ())):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[34377] = b"8BIM" + struct.pack(">HHI", number, 0, 4) + b"\x1c\x02\x05\0"
        tags.tagtype[34377] = kind
        assert decode(saved(smooth(), "TIFF", tiffinfo=tags), "a").notes == notes
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[37724] = b"Adobe Photoshop Document Data Block\0"
    assert decode(saved(smooth(), "TIFF", tiffinfo=tags), "a").notes == ("layers left out",)


@pytest.mark.parametrize(
    ("number", "content", "is_noted"),
    [
        (0x040A, b"\1", True),
        (0x040A, b"\0", False),
        (0x040B, b"http://x", True),
        (0x040B, b"", False),
        (4, b"a", False),
    ],
)
def test_a_copyright_mark_of_photoshop_is_noted(number, content, is_noted):
    resource = b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + b"\0" * (len(content) % 2)
    jpeg, segment = saved(smooth(), "JPEG"), b"Photoshop 3.0\0" + resource
    jpeg = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[34377] = resource
    tags.tagtype[34377] = 7
    for data in (jpeg, saved(smooth(), "TIFF", tiffinfo=tags)):
        assert decode(data, "a").notes == (("copyright mark of Photoshop left out",) if is_noted else ())


def test_the_shape_of_pixels_that_are_not_square_is_noted():
    note = ("shape of the pixels, which are not square, left out",)
    for shape, expected in (((2, 1), note), ((3, 3), ())):
        png = with_chunks(saved(smooth(), "PNG"), (b"pHYs", struct.pack(">IIB", *shape, 0)))
        assert decode(png, "a").notes == expected
        jpeg = saved(smooth(), "JPEG")
        jpeg = jpeg[:13] + struct.pack(">BHH", 0, *shape) + jpeg[18:]
        assert jpeg[6:11] == b"JFIF\0" and decode(jpeg, "a").notes == expected


def test_other_primaries_of_a_tiff_are_noted():
    srgb, adobe = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06), (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    note = ("colour calibration of the TIFF left out",)
    for primaries, white, expected in (
        (srgb, None, ()),
        (srgb, (0.3127, 0.3290), ()),
        (srgb, (0.3457, 0.3585), note),
        (adobe, None, note),
        (None, (0.3457, 0.3585), note),
        (adobe[:4], None, ()),  # damaged
    ):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, values in ((319, primaries), (318, white)):
            if values:
                tags[tag] = tuple(TiffImagePlugin.IFDRational(round(1e4 * value), 10_000) for value in values)
        assert decode(saved(smooth(), "TIFF", tiffinfo=tags), "a").notes == expected
    tags[319] = tuple(TiffImagePlugin.IFDRational(round(1e4 * value), 10_000) for value in adobe)
    with_profile = saved(smooth(), "TIFF", tiffinfo=tags, icc_profile=profile(b"RGB "))
    assert not any("calibration" in note for note in decode(with_profile, "a").notes)


@pytest.mark.parametrize(
    "packet",
    [
        b'<rdf:Description GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"/>',
        b"<GCamera:MicroVideo>1</GCamera:MicroVideo>",
    ],
)
def test_the_video_of_a_motion_photograph_is_noted(packet):
    data = saved(smooth(), "JPEG", xmp=packet) + b"\0\0\0\x18ftypmp42" + bytes(100)
    assert decode(data, "a").notes == ("XMP left out", "video left out")
    assert decode(saved(smooth(), "JPEG") + b"MotionPhoto_Data" + bytes(9), "a").notes == ("video left out",)
    still = saved(smooth(), "JPEG", xmp=b'<rdf:Description GCamera:MotionPhoto="0"/>')
    assert decode(still, "a").notes == ("XMP left out",)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize(("flags", "bits"), [(0x00, 8), (0x40, 10), (0x60, 12)])
def test_bits_that_the_decoder_of_avif_drops_are_noted(flags, bits):
    data = bytearray(saved(smooth(), "AVIF"))
    start = data.index(b"av1C") + 4
    data[start + 2] = data[start + 2] & 0x9F | flags
    with Image.open(streams.BytesIO(saved(smooth(), "AVIF"))) as image:
        notes = left_out_notes(image, None, b"", bytes(data))
    assert notes == (() if bits == 8 else (f"{bits} bits became 8",))


# ---- several pictures


def pages(*pictures, kinds=(), **options):
    frames = []
    for index, picture in enumerate(pictures):
        frame = Image.fromarray(picture)
        if index < len(kinds):
            frame.encoderinfo = {"tiffinfo": {254: kinds[index]}}
        frames.append(frame)
    return saved(frames[0], "TIFF", save_all=True, append_images=frames[1:], tiffinfo={254: (*kinds, 0)[0]}, **options)


@pytest.mark.parametrize("big", [False, True])
def test_the_full_picture_of_a_tiff_that_opens_with_its_thumbnail(big):
    full, small = smooth(32, 48), smooth(8, 12)
    for kinds in ((1, 0), (4, 0), (5, 0), (1, 1)):
        photo = decode(pages(small, full, kinds=kinds, big_tiff=big), "a")
        assert np.array_equal(photo.pixels, full) and not (photo.notes or photo.cautions), kinds
    assert decode(pages(full, small, kinds=(0, 1)), "a").cautions == ()
    photo = decode(pages(small, full, full, kinds=(1, 0, 0)), "a")
    assert np.array_equal(photo.pixels, full) and photo.cautions == ("only the first picture taken",)
    assert decode(pages(full, full), "a").cautions == ("only the first picture taken",)


def shrunk(picture, factor):
    return cv2.resize(picture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("size", [(96, 144), (103, 149), (150, 61)])
def test_a_first_page_that_shows_the_next_one_in_small_is_a_thumbnail(size, big):
    full = smooth(*size)
    gray = integer_luma(full)
    deep = gray.astype(np.uint16) * 257
    small = shrunk(full, 4)
    for pictures in ((small, full), (small, shrunk(full, 2), full), (small, gray), (small, deep)):
        photo = decode(pages(*pictures, big_tiff=big), "a")
        assert np.array_equal(photo.pixels, pictures[-1]) and photo.cautions == ()
    photo = decode(pages(small, full, full[::-1]), "a")
    assert np.array_equal(photo.pixels, full) and photo.cautions == ("only the first picture taken",)


def test_the_first_page_of_other_pages_is_no_thumbnail():
    full = smooth(96, 144)
    small = shrunk(full, 4)
    others = {
        "content": full[::-1],
        "content without contrast": np.full_like(full, 90),
        "proportions": cv2.resize(full, (96, 144)),
        "size, not by much": shrunk(full, 2.5),
        "size, smaller": shrunk(full, 8),
    }
    for other in others:
        photo = decode(pages(small, others[other]), "a")
        assert np.array_equal(photo.pixels, small) and photo.cautions == ("only the first picture taken",), other


def test_animations_and_multi_picture_files_say_so():
    frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1])]
    note = "only the first picture taken"
    for kind in ("PNG", "WEBP"):
        assert note in decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]), "a").cautions, kind
        assert not decode(saved(frames[0], kind, save_all=True), "a").cautions
    assert note in decode(saved(frames[0], "MPO", save_all=True, append_images=frames[1:]), "a").cautions
    jpeg = saved(frames[0], "JPEG")
    for start in (b"MPF\0II*\0", b"MPF\0MM\0*"):  # phones write both byte orders
        segment = b"\xff\xe2" + struct.pack(">H", len(start) + 10) + start + bytes(8)
        assert note in decode(jpeg[:2] + segment + jpeg[2:], "a").cautions


# ---- good files with odd headers


def test_the_stated_size_of_a_bmp_does_not_count():
    data = saved(smooth(), "BMP")
    for change in (2, -2, 100, -len(data)):
        odd = data[:2] + struct.pack("<I", len(data) + change) + data[6:]
        assert np.array_equal(decode(odd, "a").pixels, smooth())
    assert np.array_equal(decode(data + b"xx", "a").pixels, smooth())
    for size in (len(data) - 1, len(data) - 200, 60):
        with pytest.raises(DataError, match="is cut short"):
            decode(data[:size], "a")


def bitmaps():
    """Yield BMP files of several headers, palettes and masks, with the pixels of each."""
    picture = Image.fromarray(smooth())
    for kind in ("RGB", "L", "1"):
        converted = picture.convert(kind)
        yield saved(converted, "BMP"), np.asarray(converted.convert("L" if kind == "1" else kind))
    few = picture.quantize(16)
    yield saved(few, "BMP"), np.asarray(few.convert("RGB"))
    rows = [b"".join(bytes(pixel[::-1]) for pixel in row).ljust(-(-len(row) * 3 // 4) * 4, b"\0") for row in smooth()]
    height, width = smooth().shape[:2]
    core = struct.pack("<IHHHH", 12, width, height, 1, 24)
    yield b"BM" + struct.pack("<IHHI", 0, 0, 0, 26) + core + b"".join(rows[::-1]), smooth()
    pixels = np.dstack([smooth()[..., ::-1], np.zeros((height, width), np.uint8)])[::-1].tobytes()
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    for size in (40, 108, 124):  # behind a header of 40 bytes, or in the header
        header = struct.pack("<IiiHHIIiiII", size, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks
        header = header.ljust(max(size, 52), b"\0")
        yield b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + pixels, smooth()


@pytest.mark.parametrize(("data", "pixels"), list(bitmaps()))
def test_a_dib_without_the_header_of_the_file(data, pixels):
    assert np.array_equal(decode(data, "a").pixels, pixels)
    photo = decode(data[14:], "a.dib")
    assert np.array_equal(photo.pixels, pixels) and photo.format == "BMP"
    with pytest.raises(DataError, match="is cut short"):
        decode(data[14:-1], "a.dib")


def test_a_webp_without_its_last_pad_byte():
    for width in range(8, 60):
        data = saved(smooth(24, width), "WEBP", lossless=True)
        length = struct.unpack_from("<I", data, 16)[0]
        if length % 2:
            assert decode(data[:-1], "a").pixels.shape == (24, width, 3)
            for size in (len(data) - 2, len(data) // 2):
                with pytest.raises(DataError, match="is cut short"):
                    decode(data[:size], "a")
            return
    pytest.fail("no file has an odd length")


def test_the_last_strip_of_a_tiff_may_state_more_than_its_rows():
    data = bytearray(saved(smooth(), "TIFF"))
    with Image.open(streams.BytesIO(bytes(data))) as image:
        (size,) = image.tag_v2[279]
        (offset,) = image.tag_v2[273]
    whole = bytes(data[: offset + size]) if offset + size <= len(data) else bytes(data)
    entry = struct.pack("<HHII", 279, 4, 1, size) if struct.pack("<HHII", 279, 4, 1, size) in data else None
    if entry is None:
        entry = struct.pack("<HHIHH", 279, 3, 1, size, 0)
    larger = whole.replace(entry, struct.pack("<HHII", 279, 4, 1, size + 500))
    assert larger != whole and np.array_equal(decode(larger, "a").pixels, smooth())


def tiff_of(pixels, compression, sample_format=1):
    """Return a little-endian TIFF of one strip; `compression` is its number and the function."""
    number, compress = compression
    body = compress(pixels.tobytes())
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else 3
    bits = 8 * pixels.itemsize
    values = {256: width, 257: height, 258: bits, 259: number, 262: 1 if samples == 1 else 2, 273: 0, 277: samples}
    values |= {278: height, 279: len(body), 339: sample_format}
    start = 8 + 2 + 12 * len(values) + 4
    head = b"II*\0" + struct.pack("<IH", 8, len(values))
    for tag, value in sorted(values.items()):
        count = samples if tag in (258, 339) else 1
        value = start + 6 * (tag == 339) if count == 3 else start + 12 if tag == 273 else value
        head += struct.pack("<HHII", tag, 3 if tag in (258, 339) else 4, count, value)
    return head + bytes(4) + struct.pack("<6H", bits, bits, bits, *[sample_format] * 3) + body


NONE, LZMA = (1, bytes), (34925, lzma.compress)


def test_16_bit_tiff_under_other_compressions():
    gray = smooth(24, 32)[..., 0].astype(np.uint16) * 257 + 5
    photo = decode(tiff_of(gray, LZMA), "a")
    assert np.array_equal(photo.pixels, gray) and photo.notes == ("16-bit",)
    stream = streams.BytesIO()
    Image.fromarray(gray).save(stream, "TIFF", compression="zstd")
    assert np.array_equal(decode(stream.getvalue(), "a").pixels, gray)
    deep = smooth(24, 32).astype(np.uint16) * 257
    assert np.array_equal(decode(tiff_of(deep, LZMA), "a").pixels, deep)


def test_signed_and_short_floating_point_samples_are_not_supported():
    gray = smooth(24, 32)[..., 0]
    cases = [
        (gray.astype(np.int16) * 99, 2),
        (gray.astype(np.int8), 2),
        (gray.astype(np.float16) / 255, 3),
        (gray.astype(np.uint32), 1),
        (smooth(24, 32).astype(np.int16), 2),
    ]
    for pixels, sample_format in cases:
        with pytest.raises(DataError) as raised:
            decode(tiff_of(pixels, NONE, sample_format), "a")
        assert "not supported" in str(raised.value) and "damaged" not in str(raised.value), pixels.dtype


@pytest.mark.parametrize("photometric", [5, 6, 8, 9, 32844])  # CMYK, YCbCr, two kinds of Lab, LogL
def test_other_colour_spaces_of_16_bits_are_not_supported_and_not_damaged(photometric):
    data = bytearray(tiff_of(smooth(24, 32).astype(np.uint16) * 257, NONE))
    rgb = struct.pack("<HHII", 262, 4, 1, 2)
    assert data.count(rgb) == 1
    start = data.index(rgb)
    data[start : start + len(rgb)] = struct.pack("<HHII", 262, 4, 1, photometric)
    with pytest.raises(DataError) as raised:
        decode(bytes(data), "a")
    assert "not supported" in str(raised.value) and "damaged" not in str(raised.value)


def test_a_16_bit_tiff_that_is_really_damaged_is_called_damaged():
    data = tiff16(smooth(24, 32).astype(np.uint16) * 257)
    with pytest.raises(DataError, match="cut short"):
        decode(data[:-10], "a")

"""The texts of the page: the same in each language, and every message of the table is one that the library gives."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser_page import open_photo, photo, wait_for_text
from page_notes import notes_in_source
from page_server import add, call, restore
from pictures import faded_photo, smooth
from scenes import scene, second_photo
from standins import gray, gray_to_rgb

from toolbox.errors import ToolboxError, UsageError
from toolbox.guidance.guide import Guide
from toolbox.guidance.reference import Reference, apply_reference
from toolbox.imaging import io
from toolbox.imaging.decode import FIRST_OF_SEVERAL
from toolbox.masks import kinds_of_damage
from toolbox.masks.sources import check_mask_size
from toolbox.prints.corrections import Corrections, describe
from toolbox.utils import files, surface
from toolbox.web import album, app, worker

TEXTS = Path(app.STATIC) / "texts"
SIDE = 80  # of made-up scenes, in pixels
# Notes that the page has no text for, by their module. Some are parts of notes, which `messages_of_results` and
# `messages_of_references` have as a whole, and the page puts corrections together itself. The others can't be caused in
# the page: it has one second photograph, replaces each result, and writes no pictures beside it.
NOT_IN_THE_PAGE = {
    ("guidance/reference.py", "VALUE and nothing is lost: of no use"),
    ("guidance/reference.py", "VALUE references: other scenes, not used"),
    ("guidance/reference.py", "VALUE: it helps to fill the lost region, and has no colours to give"),
    ("guidance/reference.py", "does not show the same scene: not used"),
    ("imaging/formats.py", "VALUE fileVALUE left out: VALUEVALUE"),
    ("inference/batch.py", "made again: the result that was there can't be read"),
    ("inference/color_notes.py", "other colours on VALUE % of it discardedVALUE"),
    ("inference/output_folders.py", "pictures beside results left out: VALUE, as VALUE"),
    ("inference/photo.py", "before-and-after picture written"),
    ("inference/photo.py", "not restored: VALUE"),
    ("inference/photo_arrays.py", "the image: VALUE"),
    ("inference/reference_files.py", "VALUE references can't be read: not used"),
    ("inference/restorer.py", "all of the photograph counts as lost, so there is nothing to restore it from"),
    (
        "inference/restorer.py",
        "repair has no effect with a mask: leave the mask out, or call toolbox.restore for both",
    ),
    ("inference/result_files.py", "it has no Digital Source Type: write it again with --overwrite"),
    ("inference/result_files.py", "pictures beside the result written; the result is there already"),
    ("inference/tiling.py", "Memory ran out at VALUExVALUE pixels; continuing in tiles of VALUE."),
    ("prints/corrections.py", "corrected: VALUE"),
}


def texts(language):
    return json.loads((TEXTS / f"{language}.json").read_text("utf-8"))


def placeholders(words):
    return set(re.findall(r"\{(\w+)\}", words))


def message_of(work, *arguments, **options):
    """Return the message with which a call fails in the page."""
    with pytest.raises((ToolboxError, ValueError)) as error, surface.shown_in("page"):
        work(*arguments, **options)
    return str(error.value)


def messages_of_the_source():
    """Yield every note that the page can show, and each caution also with the name of a file."""
    notes = set(notes_in_source())
    for path, note in sorted(notes - NOT_IN_THE_PAGE):
        yield note
        if path == "imaging/jpeg_end.py" or note == FIRST_OF_SEVERAL:
            yield f"a.jpg: {note}"
        if "extra channel" in note:
            yield note.removeprefix("VALUE: ")  # of marks that are loaded


def messages_of_files(tmp_path):
    png = photo(tmp_path).read_bytes()
    broken = bytearray(png)
    broken[20] ^= 1
    yield message_of(io.decode, b"", "a.png")
    yield message_of(io.decode, b"hello", "a.png")
    yield message_of(io.decode, png[:-20], "a.png")
    yield message_of(io.decode, bytes(broken), "a.png")
    yield message_of(io.decode, png, "a.png", max_pixels=10)
    yield message_of(io.decode, b"BM" + bytes(200), "a.bmp")
    yield message_of(io.decode, b"II*\0" + bytes(50), "a.tif")
    yield message_of(check_mask_size, np.zeros((4, 5), bool), (6, 7))


def messages_of_references():
    target = cv2.cvtColor(scene(side=SIDE), cv2.COLOR_RGB2GRAY)
    other = second_photo(scene(side=SIDE))
    plane = cv2.cvtColor(other, cv2.COLOR_RGB2GRAY)
    toned = (plane[..., None] * np.array([1, 0.85, 0.62])).astype(np.uint8)
    lost = np.zeros(target.shape, bool)
    hole = lost.copy()
    hole[35:45, 35:45] = True
    views = [("a.jpg", scene(3, SIDE)), ("b.jpg", gray_to_rgb(plane)), ("c.jpg", toned)]
    references = [Reference(name=name, rgb=pixels) for name, pixels in views]
    yield from apply_reference(target, lost, references).notes
    yield from apply_reference(target, hole, references[1:]).notes
    empty = np.zeros((4, 4), bool)
    guide = Guide(mask=empty, result=None, found=empty, strokes=None, hinted=empty, palette=abs, matched=empty)
    yield from guide.notes


def messages_of_results(service, tmp_path):
    toned = (gray()[..., None] * np.array([1, 0.85, 0.62])).astype(np.uint8)
    io.write_png(tmp_path / "toned.png", toned)
    io.write_png(tmp_path / "colour.png", smooth(48, 64))
    stamped = np.repeat(gray()[..., None], 3, axis=2)
    stamped[22:26, 30:35] = (200, 30, 30)
    stamped[22:26, 30:35] += np.arange(20, dtype=np.uint8).reshape(4, 5, 1)  # not one flat shape, which would be lost
    io.write_png(tmp_path / "stamped.png", stamped)
    names = ("toned", "colour", "stamped")
    toned_id, colour_id, stamped_id = (add(service, tmp_path / f"{name}.png")["id"] for name in names)
    yield from restore(service, toned_id)["notes"]
    yield from restore(service, stamped_id)["notes"]
    mask = np.zeros((48, 64), np.uint8)
    mask[5:9] = 255
    io.write_png(tmp_path / "mask.png", mask)
    call(service, "PUT", f"/api/photos/{toned_id}/mask", (tmp_path / "mask.png").read_bytes())
    yield from restore(service, toned_id, keep_tone=True)["notes"]
    yield from restore(service, colour_id, keep="luma")["notes"]
    yield from restore(service, colour_id, auto=True)["notes"]
    yield kinds_of_damage.describe({"stain": 0.1})
    yield from describe(Corrections(crop="print"), cropped=True)
    yield from describe(Corrections(crop="print"), cropped=False)
    layer = np.zeros((48, 64, 4), np.uint8)
    layer[9:19] = 255
    io.write_png(tmp_path / "layer.png", layer[..., :3], alpha=layer[..., 3])
    call(service, "PUT", f"/api/photos/{colour_id}/hints", (tmp_path / "layer.png").read_bytes())
    call(service, "PUT", f"/api/photos/{colour_id}/mask", (tmp_path / "mask.png").read_bytes())
    yield restore(service, colour_id)["reason"]
    call(service, "PUT", f"/api/photos/{toned_id}/hints", (tmp_path / "layer.png").read_bytes())
    yield restore(service, toned_id, keep_tone=True)["reason"]
    io.write_png(tmp_path / "faded.png", faded_photo())
    yield from restore(service, add(service, tmp_path / "faded.png")["id"])["notes"]
    io.write_png(tmp_path / "gray.png", gray_to_rgb(gray()))
    data = (tmp_path / "gray.png").read_bytes()
    call(service, "PUT", f"/api/photos/{stamped_id}/reference?name=gray.png", data)
    yield restore(service, stamped_id, second="colours")["reason"]


def messages_of_masks(service, tmp_path):
    """Yield what is said of marks that are loaded from a file, and of a photograph that is marked completely."""
    path = tmp_path / "marked.png"
    io.write_png(path, gray())
    photo_id = add(service, path)["id"]
    strokes = np.zeros((48, 64), np.uint8)
    strokes[5:9], strokes[30:44] = 255, 60
    layer = np.where(strokes == 0, 0, 255).astype(np.uint8)
    dark = np.full((48, 64), 9, np.uint8)
    dark[5:9] = 40
    dark[20:24] = 80
    masks = [
        (smooth(48, 64), None),
        (strokes, None),
        (np.where(strokes > 60, 255, 0).astype(np.uint8), layer),
        (dark, None),
    ]
    for pixels, alpha in masks:
        io.write_png(path, pixels, alpha=alpha)
        yield call(service, "PUT", f"/api/photos/{photo_id}/mask", path.read_bytes())[1]["error"]
    io.write_png(path, gray(), alpha=np.where(np.arange(64) < 48, 0, 255).astype(np.uint8) * np.ones((48, 1), np.uint8))
    yield restore(service, add(service, path)["id"])["reason"]
    io.write_png(path, np.full((48, 64), 255, np.uint8))
    yield from call(service, "PUT", f"/api/photos/{photo_id}/mask", path.read_bytes())[1]["cautions"]
    yield restore(service, photo_id)["reason"]


def messages_of_the_server(service, restorer, tmp_path, monkeypatch):
    path = photo(tmp_path)
    photo_id = add(service, path)["id"]
    yield call(service, "GET", "/api/photos/none")[1]["error"]
    call(service, "GET", "/api/choices", headers={"X-Toolbox-Page": "the last"})
    yield call(service, "GET", "/api/photos", headers={"X-Toolbox-Page": "an earlier one"})[1]["error"]
    monkeypatch.setattr(album, "MAX_PHOTOS", 0)
    yield call(service, "POST", "/api/photos?name=a.png", path.read_bytes())[1]["error"]
    monkeypatch.setattr(worker, "MAX_WAITING", 0)
    yield call(service, "POST", f"/api/photos/{photo_id}/restore", b"{}")[1]["error"]
    for most in (10, 1 << 20):
        monkeypatch.setattr(app, "MAX_BYTES", most)
        yield call(service, "POST", "/api/photos?name=a.png", bytes(most + 1))[1]["error"]

    def no_memory(*arguments):
        raise MemoryError

    object.__setattr__(restorer, "before_call", no_memory)
    monkeypatch.setattr(worker, "MAX_WAITING", 1)
    yield restore(service, photo_id)["reason"]
    monkeypatch.setattr(io, "open_bytes", no_memory)
    yield message_of(io.decode, path.read_bytes(), "a.png")

    for number in (errno.ENOSPC, errno.EFBIG):

        def fail(*arguments, number=number, **options):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "replace", fail)
        yield message_of(files.write_bytes, tmp_path / "x", b"")


def test_the_languages_have_the_same_texts_with_the_same_values():
    english, korean = texts("en"), texts("ko")
    tables = (english, korean), (english["messages"], korean["messages"])
    for one, other in tables:
        assert list(one) == list(other)
        for key in one:
            assert key == "messages" or placeholders(one[key]) == placeholders(other[key]), key
    for pattern, words in english["messages"].items():
        assert placeholders(words) <= placeholders(pattern)


def test_every_note_in_the_source_has_a_text_in_the_page():
    notes = set(notes_in_source())
    patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)) for pattern in texts("ko")["messages"]]
    untold = {note for note in notes if not any(re.fullmatch(pattern, note[1]) for pattern in patterns)}
    assert untold - NOT_IN_THE_PAGE == set()
    assert NOT_IN_THE_PAGE - notes == set()


def test_every_message_of_the_table_is_one_that_the_library_gives(page, service, restorer, tmp_path, monkeypatch):
    lines = [*messages_of_files(tmp_path), *messages_of_references(), *messages_of_results(service, tmp_path)]
    lines += [*messages_of_the_source(), *messages_of_masks(service, tmp_path)]
    lines += messages_of_the_server(service, restorer, tmp_path, monkeypatch)
    table = texts("ko")["messages"]
    said = page.evaluate(
        """async (lines) => {
            const texts = await import("/static/texts.js");
            await texts.load("ko");
            return lines.map(texts.message);
        }""",
        lines,
    )
    assert [line for line, words in zip(lines, said, strict=True) if words is None] == []
    unused = [
        words
        for words in table.values()
        if not any(re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(words)), one) for one in said)
    ]
    assert unused == []


def test_a_message_that_the_table_does_not_have_is_shown_in_english(page, service, restorer, tmp_path):
    def fail(count):
        raise UsageError("something new")

    object.__setattr__(restorer, "before_call", fail)
    page.select_option("#language", "ko")
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    wait_for_text(page, "#guide", "복원하지 못했습니다: (영어) something new")

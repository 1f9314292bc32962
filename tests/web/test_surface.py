"""Messages that are read in the page name its controls, and no option of the command line."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from browser_page import photo
from module_texts import modules_after, texts_of
from page_server import add, call, restore
from pictures import faded_photo, smooth
from standins import gray, gray_to_rgb

import toolbox
from toolbox.imaging import io
from toolbox.utils import surface

ROOT = Path(toolbox.__file__).parent
OPTION = re.compile(r"""(^|[\s"'`(])(--[a-z]|-[a-z]\b)|`toolbox """)
# Modules whose messages are read before the page opens, or that only commands use.
BEFORE_THE_PAGE = {
    "config/combination.py",
    "config/recipe.py",
    "hooks/catalog.py",
    "hooks/manager.py",
    "hooks/registry.py",
    "inference/flag_changes.py",
    "inference/output_paths.py",
    "models/stored_weights.py",
    "utils/devices.py",
    "web/server.py",
}
# Messages that a photograph of the page can't cause: it has a folder and a result of its own, which is replaced.
NOT_IN_THE_PAGE = {
    ("hooks/blame.py", "For the traceback add --traceback."),
    ("imaging/mask_meaning.py", "--mask-means "),
    ("inference/batch.py", " is one of the photographs; choose another folder with -o"),
    ("inference/batch.py", " would be among the photographs; choose another folder with -o"),
    ("inference/batch.py", " can't be written: a folder has that name; choose another with -o"),
    (
        "inference/batch.py",
        " is not a report of `toolbox restore` and would be replaced; choose another folder with -o, or move that file",
    ),
    ("inference/batch.py", "; wait until it ends, or choose another folder with -o"),
    ("inference/batch.py", "-o "),
    ("inference/color_notes.py", "--variants"),
    ("inference/reference_files.py", "--reference"),
    ("inference/reference_files.py", "--reference "),
    ("inference/result_files.py", "it has no Digital Source Type: write it again with --overwrite"),
    ("inference/result_files.py", " exists and has another size than its photo; replace it with --overwrite"),
    ("masks/sources.py", "--color"),
    ("masks/sources.py", "choose another --color, or lower --tolerance"),
    ("masks/sources.py", "--grow"),
}


def test_every_message_that_names_an_option_has_words_for_the_page():
    named = {
        (str(path.relative_to(ROOT)), text)
        for path in modules_after("import toolbox.web.server")
        if str(path.relative_to(ROOT)) not in BEFORE_THE_PAGE
        for text in texts_of(path, "page")
        if OPTION.search(text) and "\n" not in text.strip()
    }
    assert named - NOT_IN_THE_PAGE == set()
    assert NOT_IN_THE_PAGE - named == set()


def test_words_are_those_of_the_place():
    def say():
        return surface.words(command="add --grow", python="add grow", page="use the brush")

    assert say() == "add grow"
    with surface.command_line():
        assert say() == "add --grow"
        with ThreadPoolExecutor() as pool:
            assert pool.submit(say).result() == "add --grow"
        with surface.shown_in("page"):
            assert say() == "use the brush"
        assert say() == "add --grow"
    assert say() == "add grow"


def written(tmp_path, pixels, alpha=None):
    io.write_png(tmp_path / "written.png", pixels, alpha=alpha)
    return tmp_path / "written.png"


def lines_of(entry):
    return [entry["reason"], *entry["notes"]]


def lines_of_colours(service, tmp_path):
    colour = add(service, written(tmp_path, smooth(48, 64)))["id"]
    yield from lines_of(restore(service, colour))
    yield from lines_of(restore(service, colour, keep="luma"))
    toned = add(service, written(tmp_path, (gray()[..., None] * np.array([1, 0.85, 0.62])).astype(np.uint8)))["id"]
    yield from lines_of(restore(service, toned, keep_tone=True))
    faded = lines_of(restore(service, add(service, written(tmp_path, faded_photo()))["id"]))
    assert any("may be a faded photo in colour" in line for line in faded)
    yield from faded
    layer = np.zeros((48, 64), np.uint8)
    layer[9:19] = 255
    hints = written(tmp_path, smooth(48, 64), layer).read_bytes()
    call(service, "PUT", f"/api/photos/{toned}/hints", hints)
    call(service, "PUT", f"/api/photos/{toned}/mask", written(tmp_path, layer).read_bytes())
    yield from lines_of(restore(service, toned, keep_tone=True))
    call(
        service,
        "PUT",
        f"/api/photos/{toned}/reference?name=gray.png",
        written(tmp_path, gray_to_rgb(gray())).read_bytes(),
    )
    yield from lines_of(restore(service, toned, second="colours"))


def lines_of_marks(service, tmp_path):
    holes = np.full((48, 64), 255, np.uint8)
    holes[:40] = 0
    large = add(service, written(tmp_path, smooth(48, 64), holes))["id"]
    yield from lines_of(restore(service, large))
    assert not list(service.album.path(large, "result").glob("*.preview.png"))
    photo_id = add(service, written(tmp_path, gray()))["id"]
    strokes = np.zeros((48, 64), np.uint8)
    strokes[5:9], strokes[30:44] = 255, 60
    layers = (
        (smooth(48, 64), None),
        (strokes, None),
        (np.full((48, 64), 60, np.uint8), None),
    )
    for pixels, alpha in layers:
        data = written(tmp_path, pixels, alpha).read_bytes()
        yield call(service, "PUT", f"/api/photos/{photo_id}/mask", data)[1]["error"]
    call(service, "PUT", f"/api/photos/{photo_id}/mask", written(tmp_path, holes | 255).read_bytes())
    yield from lines_of(restore(service, photo_id))


def lines_of_failures(service, tmp_path, restorer, monkeypatch):
    photo_id = add(service, photo(tmp_path))["id"]

    def no_memory(count):
        raise MemoryError("Unable to allocate 9.00 GiB")

    object.__setattr__(restorer, "before_call", no_memory)
    (reason,) = filter(None, lines_of(restore(service, photo_id)))
    assert reason == "Memory ran out. Close other programs, then restore again."
    monkeypatch.setattr(service.album, "max_pixels", 10)
    status, answer = call(service, "POST", "/api/photos?name=a.png", photo(tmp_path).read_bytes())
    assert status == 400
    yield answer["error"]


def test_no_line_of_a_restoration_names_an_option(service, restorer, tmp_path, monkeypatch):
    lines = [
        *lines_of_colours(service, tmp_path),
        *lines_of_marks(service, tmp_path),
        *lines_of_failures(service, tmp_path, restorer, monkeypatch),
    ]
    assert [line for line in lines if OPTION.search(line)] == []

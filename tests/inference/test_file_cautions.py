"""Files with several pictures and files that are cut: said alike for every file that a restoration uses. About 5 s."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import saved, smooth
from PIL import Image
from scenes import scene, second_photo, tint_restorer
from standins import gray, install_stand_in, read_report, run_restore

import toolbox
from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.errors import DataError
from toolbox.evaluation.score_files import score_files
from toolbox.imaging import io

NOTE = "only the first picture taken"


def write_two(path, first, fmt):
    """Write a file whose first picture is `first`, and whose second one is its inverse."""
    second = first.copy()
    second[..., :3] = 255 - first[..., :3]
    frames = [Image.fromarray(first), Image.fromarray(second)]
    options = {"lossless": True} if fmt == "WEBP" else {}
    path.write_bytes(saved(frames[0], fmt, save_all=True, append_images=frames[1:], **options))
    return path


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
def test_a_mask_with_several_pictures(tmp_path, monkeypatch, fmt):
    stand_in = install_stand_in(monkeypatch)
    io.write_png(tmp_path / "a.png", gray())
    lost = np.zeros((48, 64, 3), np.uint8)
    lost[10:20, 10:30] = 255
    mask = write_two(tmp_path / f"m.{fmt.lower()}", lost, fmt)
    result = run_restore(tmp_path / "a.png", "-o", tmp_path / "out", "--mask", mask)
    assert f"; {mask}: {NOTE}" in result.output and np.array_equal(stand_in.calls[0][2], lost[..., 0] > 0)
    preview = run_restore(tmp_path / "a.png", "-o", tmp_path / "two", "--mask", mask, "--preview", "--crop", "print")
    assert preview.output.count(NOTE) == 1
    with pytest.warns(UserWarning, match=NOTE):
        toolbox.restore(tmp_path / "a.png", mask, weights=tint_restorer("luma"))
    with Image.open(mask) as opened, pytest.warns(UserWarning, match=f"the image: {NOTE}"):
        toolbox.restore(tmp_path / "a.png", opened, weights=tint_restorer("luma"))
    with Image.open(mask) as opened, warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.seek(1)  # chosen
        toolbox.restore(gray(), opened, weights=tint_restorer("luma"), allow_large=True)


def test_hints_references_and_palettes_with_several_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("toolbox.inference.loading.load_restorer", lambda *_, **__: tint_restorer("luma"))
    io.write_png(tmp_path / "photo.png", integer_luma(scene()))
    strokes = np.zeros((*scene().shape[:2], 4), np.uint8)
    strokes[50:60, 50:90] = (200, 30, 30, 255)
    hints = write_two(tmp_path / "hints.png", strokes, "PNG")
    reference = write_two(tmp_path / "second.png", second_photo(scene()), "PNG")
    for number, (option, path) in enumerate({"--hints": hints, "--reference": reference}.items()):
        result = run_restore(tmp_path / "photo.png", "-o", tmp_path / f"out{number}", option, path)
        assert f"{path}: {NOTE}" in result.output
        assert f"{path}: {NOTE}" in read_report(tmp_path / f"out{number}")["photos"][0]["notes"]
        with pytest.warns(UserWarning, match=NOTE):
            toolbox.restore(tmp_path / "photo.png", weights=tint_restorer("luma"), **{option[2:]: path})


def test_a_photograph_says_so_whatever_becomes_of_it(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    photo = write_two(tmp_path / "a.png", smooth(48, 64), "PNG")
    assert f"(0.0 % lost; {NOTE})" in run_restore(photo, "-o", tmp_path / "left").output
    assert NOTE in run_restore(photo, "-o", tmp_path / "restored", "--keep", "luma").output
    assert NOTE in run_restore(photo, "-o", tmp_path / "preview", "--preview").output
    assert NOTE in run_restore(photo, "-o", tmp_path / "copied", "--auto").output
    assert NOTE in CliRunner().invoke(main, ["mask", str(photo), "-o", str(tmp_path / "masks")]).output
    assert NOTE in CliRunner().invoke(main, ["doctor", "--photo", str(photo)]).output


def test_a_photograph_without_its_end_is_restored(tmp_path, monkeypatch):
    stand_in = install_stand_in(monkeypatch)
    rng = np.random.default_rng(0)
    data = saved(rng.integers(0, 255, (96, 128)).astype(np.uint8), "JPEG")
    (tmp_path / "whole.jpg").write_bytes(data[:-2])
    result = run_restore(tmp_path / "whole.jpg", "-o", tmp_path / "out")
    assert "the end marker of the JPEG is missing; the picture is complete" in result.output
    assert not stand_in.calls[0][2].any()
    (tmp_path / "cut.jpg").write_bytes(data[: int(0.8 * len(data))])
    result = run_restore(tmp_path / "cut.jpg", "-o", tmp_path / "cut")
    assert "% of the picture is missing at its end" in result.output
    mask = stand_in.calls[1][2]
    assert 0.1 < mask.mean() < 0.3 and mask[-10:].all() and not mask[:60].any()
    with pytest.warns(UserWarning, match="is missing at its end"):
        toolbox.restore(tmp_path / "cut.jpg", weights=tint_restorer("luma"))


def test_score_names_hidden_pixels_and_further_pictures(tmp_path):
    folders = {name: tmp_path / name for name in ("restored", "truth", "masks", "inputs")}
    for folder in folders.values():
        folder.mkdir()
    truth, alpha = smooth(48, 64), np.full((48, 64), 255, np.uint8)
    alpha[:12] = 0
    lost = np.zeros((48, 64, 3), np.uint8)
    lost[10:20, 10:30] = 255
    io.write_png(folders["restored"] / "a.png", truth, alpha=alpha)
    write_two(folders["truth"] / "a.png", truth, "PNG")
    write_two(folders["masks"] / "a.png", lost, "PNG")
    notes = score_files(folders["restored"], folders["truth"], masks=folders["masks"]).notes
    assert "a.png: 25.0 % of it is transparent; the colours that it hides were scored." in notes
    assert {f"{folders[name] / 'a.png'}: {NOTE}" for name in ("truth", "masks")} <= set(notes)
    # Transparent parts of an input are lost, as they are for a restoration.
    damaged = integer_luma(truth)
    io.write_png(folders["inputs"] / "a.png", damaged, alpha=alpha)
    wrong = truth.copy()
    wrong[:12] = 255 - wrong[:12]
    io.write_png(folders["restored"] / "a.png", wrong)
    scores = score_files(folders["restored"], folders["truth"], inputs=folders["inputs"])
    assert scores.mean.M is not None and scores.mean.M < 0.2


def test_score_refuses_a_cut_file(tmp_path):
    for name in ("restored", "truth"):
        (tmp_path / name).mkdir()
        io.write_png(tmp_path / name / "a.png", smooth())
    (tmp_path / "truth" / "a.png").unlink()
    Path(tmp_path / "truth" / "a.jpg").write_bytes(saved(smooth(), "JPEG")[:-2])
    with pytest.raises(DataError, match="the end of the JPEG is missing"):
        score_files(tmp_path / "restored", tmp_path / "truth")

"""The sheet of a print on a table: found, cut out, and not found where there is none. 1 s."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from prints import on_table, picture

from toolbox.prints.sheet import cut_sheet, find_sheet, is_cuttable, sheet_size


def overlap(first, second, shape):
    masks = [cv2.fillConvexPoly(np.zeros(shape[:2], np.uint8), np.int32(np.rint(each)), 1) for each in (first, second)]
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def test_a_sheet_is_found_and_cut_straight():
    truth = picture(240, 320)
    photo, corners = on_table(truth)
    sheet = find_sheet(photo)
    assert sheet is not None and overlap(sheet.corners, corners, photo.shape) > 0.97
    assert sheet.support > 0.9 and abs(sheet.area - 0.41) < 0.05
    cut = cut_sheet(photo, sheet.corners)
    assert cut.shape[:2] == sheet_size(sheet.corners)
    resized = cv2.resize(truth, cut.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(cut.ravel(), resized.ravel())[0, 1] > 0.9


def test_a_white_border_belongs_to_the_sheet():
    photo, corners = on_table(np.pad(picture(200, 280), ((16, 16), (16, 16), (0, 0)), constant_values=235))
    sheet = find_sheet(photo)
    assert sheet is not None and overlap(sheet.corners, corners, photo.shape) > 0.97


def test_a_white_border_that_reaches_the_margin_is_not_the_table():
    bordered = np.pad(picture(200, 280), ((16, 16), (16, 16), (0, 0)), constant_values=235)
    photo, corners = on_table(bordered, corners=((60, 4), (474, 40), (430, 330), (30, 300)))
    sheet = find_sheet(photo)
    assert sheet is not None and overlap(sheet.corners, corners, photo.shape) > 0.97


def test_edges_of_a_checked_table_are_not_the_sheets():
    photo, corners = on_table(picture(240, 320))
    table = np.ones(photo.shape[:2], np.uint8)
    cv2.fillConvexPoly(table, np.int32(np.rint(corners)), 0)
    rows, columns = np.indices(table.shape)
    checks = 26 * ((rows // 12 + columns // 12) % 2)
    photo = np.clip(photo + (table * checks)[..., None], 0, 255).astype(np.uint8)
    sheet = find_sheet(photo)
    assert sheet is not None and overlap(sheet.corners, corners, photo.shape) > 0.96


def test_a_mask_is_cut_like_the_photo():
    photo, corners = on_table(picture(240, 320))
    marked = np.zeros(photo.shape[:2], bool)
    marked[150:170, 200:240] = True
    cut = cut_sheet(marked, corners)
    assert cut.dtype == bool and abs(cut.mean() - marked.sum() / cv2.contourArea(corners)) < 0.003


@pytest.mark.parametrize(
    "pixels", [picture(360, 480), np.full((200, 300, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8), picture(20, 400)]
)
def test_no_sheet(pixels):
    assert find_sheet(pixels) is None


def test_the_same_sheet_at_every_resolution():
    photo, corners = on_table(picture(240, 320))
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    sheet = find_sheet(large)
    assert sheet is not None and overlap(sheet.corners / 4, corners, photo.shape) > 0.97
    assert is_cuttable(large.shape, sheet.corners) and not is_cuttable((40_000, 90), sheet.corners)

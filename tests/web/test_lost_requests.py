"""Requests of the page that are lost or refused: nothing is forgotten, and the page goes on by itself."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from browser_page import delayed, drag, open_photo, photo, wait_for_marks, wait_for_text, wait_until_ready
from page_server import call
from scenes import scene, tint_restorer
from standins import install

from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.utils import files

FAILURES = ("lost", "refused")


@pytest.fixture
def restorer(monkeypatch):
    return install(monkeypatch, tint_restorer("luma", 96))


@contextmanager
def failing(page, method, end, how, times=100):
    """Lose requests, or answer them with the status 500, inside the block; yield the list of them."""
    failed = []

    def answer(route, request):
        path = request.url.partition("?")[0]
        if request.method != method or not path.endswith(end) or len(failed) >= times:
            route.fallback()
            return
        failed.append(path)
        if how == "lost":
            route.abort("internetdisconnected")
        else:
            route.fulfill(status=500, body=json.dumps({"error": "Unexpected error: OSError."}))

    page.route("**/*", answer)
    yield failed
    page.unroute("**/*", answer)


def wait_for(page, condition):
    """Wait for a condition while requests go through `failing`."""
    for _ in range(600):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen in time")


def entry(service):
    return service.album.entries()[0]


def marked(service):
    mask = io.read_mask(service.album.mask(entry(service).id), meaning="white")
    return int(mask.sum())


def marks_on_page(page):
    return page.evaluate(
        """() => {
            const one = document.querySelector("#mask");
            const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
            return data.filter((value, i) => i % 4 === 3 && value >= 128).length;
        }"""
    )


def open_restored(page, tmp_path):
    io.write_png(tmp_path / "old.png", integer_luma(scene())[:240])
    open_photo(page, tmp_path / "old.png")
    page.click("#restore")
    wait_for_text(page, "#guide", "Then choose Repair, or save")


def paint(page, y=0.4):
    page.click("[data-tool=brush]")
    drag(page, [(0.4, y), (0.6, y)])


def draw_line(page, y=0.8):
    page.click("[data-tool=colour]")
    drag(page, [(0.4, y), (0.6, y)])


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_request_that_is_lost_once_is_sent_again_without_a_word(page, service, tmp_path, method):
    open_restored(page, tmp_path)
    with failing(page, method, {"PUT": "/marks", "POST": "/restore"}[method], "lost", times=1) as lost:
        paint(page)
        page.click("#restore.main")
        wait_for(page, lambda: entry(service).restored_edits == 1)
    assert lost
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert page.inner_text("#status") == ""


@pytest.mark.parametrize("how", FAILURES)
def test_marks_that_did_not_reach_the_server_are_sent_before_the_photograph_is_restored(page, service, tmp_path, how):
    open_restored(page, tmp_path)
    with failing(page, "PUT", "/marks", how):
        paint(page)
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
        page.click("#restore.main")
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
        assert entry(service).edits == 0
    page.click("#restore.main")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert marked(service) == marks_on_page(page) > 0
    assert (entry(service).edits, entry(service).restored_edits) == (1, 1)
    assert page.inner_text("#status") == ""


@pytest.mark.parametrize("how", FAILURES)
def test_a_line_that_did_not_reach_the_server_is_in_the_result_of_the_next_restoration(page, service, tmp_path, how):
    open_restored(page, tmp_path)
    with failing(page, "PUT", "/hints", how):
        draw_line(page)
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
        assert page.locator("#clear-strokes").is_visible()
    page.click("#restore.main")
    wait_for_text(page, "#origins", "colour from your lines")
    assert entry(service).has_hints


@pytest.mark.parametrize("how", FAILURES)
def test_what_did_not_reach_the_server_is_there_when_its_photograph_is_shown_again(page, service, tmp_path, how):
    open_photo(page, photo(tmp_path, "other.png"))
    open_restored(page, tmp_path)
    with failing(page, "PUT", "/marks", how):
        paint(page)
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
        count = marks_on_page(page)
        page.click("#previous")
        wait_for_text(page, "#facts", "other.png")
        page.click("#next")
        wait_for_text(page, "#facts", "old.png")
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
    assert marks_on_page(page) == count > 0
    page.click("#restore.main")
    wait_for(page, lambda: service.album.entries()[1].restored_edits == 1)
    assert service.album.entries()[1].lost > 0


@pytest.mark.parametrize("how", FAILURES)
def test_a_restoration_that_could_not_be_asked_for_is_not_called_done(page, service, tmp_path, how):
    open_restored(page, tmp_path)
    paint(page)
    wait_for_marks(page)
    with failing(page, "POST", "/restore", how):
        page.click("#restore.main")
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
    page.click("#restore.main")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert entry(service).restored_edits == 1


@pytest.mark.parametrize("how", FAILURES)
def test_a_setting_that_did_not_reach_the_server_is_kept_with_its_photograph(page, service, tmp_path, how):
    open_photo(page, photo(tmp_path, "other.png"))
    open_restored(page, tmp_path)
    page.click("#colours summary")
    with failing(page, "POST", "/restore", how):
        page.locator("#saturation").fill("1.8")
        wait_for_text(page, "#guide", "Your last changes are not in this result yet")
        page.click("#previous")
        wait_for_text(page, "#facts", "other.png")
        assert page.input_value("#saturation") == "1"
    page.click("#next")
    wait_for_text(page, "#guide", "Your last changes are not in this result yet")
    assert page.input_value("#saturation") == "1.8"
    page.click("#restore.main")
    wait_for(page, lambda: service.album.entries()[1].settings["saturation"] == 1.8)


@pytest.mark.parametrize("how", FAILURES)
def test_the_page_goes_on_after_the_server_did_not_say_how_far_it_is(page, tmp_path, how):
    open_photo(page, photo(tmp_path))
    with failing(page, "GET", "/api/photos", how):
        page.click("#restore")
        page.wait_for_selector("#status.error:not(:empty)")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert page.locator("#busy").is_hidden() and page.locator("#save").is_visible()
    assert page.inner_text("#status") == ""


@pytest.mark.parametrize("how", FAILURES)
def test_a_result_that_could_not_be_fetched_is_shown_later(page, tmp_path, how):
    open_photo(page, photo(tmp_path))
    with failing(page, "GET", "/result", how):
        page.click("#restore")
        page.wait_for_selector("#status.error:not(:empty)")
        assert page.locator("#compare-row").is_hidden()
    page.wait_for_selector("#compare-row:not([hidden])")
    page.wait_for_selector("#status:empty", state="attached")


def test_a_search_for_damage_that_was_lost_is_done_later(page, tmp_path):
    open_photo(page, photo(tmp_path))
    with failing(page, "GET", "/damage", "lost") as lost:
        page.click("#restore")
        wait_for(page, lambda: len(lost) > 2)
    wait_for_text(page, "#guide", "Then choose Repair, or save")


def test_a_search_for_damage_that_failed_is_not_waited_for(page, tmp_path):
    open_photo(page, photo(tmp_path))
    with failing(page, "GET", "/damage", "refused"):
        page.click("#restore")
        page.wait_for_selector("#status.error:not(:empty)")
        wait_for_text(page, "#guide", "Done. Drag the line")
    page.locator("#sensitivity").fill("0.6")
    wait_for_text(page, "#guide", "Then choose Repair, or save")


def test_a_reload_before_the_server_has_the_marks_is_asked_about(page, service, tmp_path):
    open_photo(page, photo(tmp_path))
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    with delayed(page, "/marks"):
        paint(page)
        page.evaluate("() => { setTimeout(() => location.reload()); }")
        wait_for(page, lambda: asked == ["beforeunload"])
    wait_for_marks(page)
    page.reload()
    wait_for_marks(page)
    assert len(asked) == 1


def test_the_page_begins_as_soon_as_the_server_answers(page, service, tmp_path):
    with failing(page, "GET", "/api/choices", "refused") as failed:
        page.reload()
        wait_for(page, lambda: failed)
        page.wait_for_selector("#status.error:not(:empty)")
    wait_until_ready(page)
    open_restored(page, tmp_path)


def test_a_photograph_of_which_the_answer_was_lost_is_opened_once(page, service, tmp_path):
    def lose_the_answer(route, request):
        if request.method == "POST":
            call(service, "POST", "/api/photos?name=old.png", request.post_data_buffer)
            route.abort("internetdisconnected")
        else:
            route.fallback()

    page.route("**/api/photos?name=*", lose_the_answer)
    page.set_input_files("#files", str(photo(tmp_path)))
    wait_for_text(page, "#facts", "old.png")
    assert len(service.album.entries()) == 1


def test_a_disk_that_is_full_for_a_while_loses_no_change(page, service, tmp_path, monkeypatch):
    open_restored(page, tmp_path)
    write_bytes = files.write_bytes

    def full(path, data):
        with files._os_error_as_output_error(path):
            raise OSError(27, "File too large")

    monkeypatch.setattr(files, "write_bytes", full)
    paint(page)
    wait_for_text(page, "#status", "The photos can’t be written to the disk: File too large.")
    assert str(tmp_path) not in page.inner_text("#status")
    draw_line(page)
    wait_for_text(page, "#guide", "Your last changes are not in this result yet")
    monkeypatch.setattr(files, "write_bytes", write_bytes)
    page.click("#restore.main")
    wait_for_text(page, "#origins", "colour from your lines")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert marked(service) == marks_on_page(page) > 0 and entry(service).has_hints


def test_a_page_that_another_one_has_followed_does_not_wait_for_ever(page, service, tmp_path):
    open_photo(page, photo(tmp_path))
    with failing(page, "GET", "/api/photos", "refused"):
        page.click("#restore")
        page.wait_for_selector("#status.error:not(:empty)")
        call(service, "GET", "/api/choices", headers={"X-Toolbox-Page": "another one"})
    wait_for_text(page, "#status", "The photos are open in another tab or on another device.")
    assert page.locator("#busy").is_hidden() and page.locator("#restore").is_visible()


def drop(page, *paths):
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})


def test_folders_that_are_dropped_are_opened_with_their_subfolders(page, service, tmp_path):
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "empty").mkdir()
    for number in (10, 9, 1):
        photo(folder, f"p{number}.png")
    photo(folder, ".hidden.png"), photo(folder / "below", "c.PNG"), photo(tmp_path, "a.png"), photo(tmp_path, "z.png")
    for name in ("notes.txt", "below/Thumbs.db"):
        (folder / name).write_text("no picture")
    drop(page, tmp_path / "a.png", folder, tmp_path / "z.png")
    names = ["a.png", "c.PNG", "p1.png", "p9.png", "p10.png", "z.png"]
    wait_for(page, lambda: [one.name for one in service.album.entries()] == names)
    wait_for_text(page, "#status", "Files that are no photos were left out: 2.")
    drop(page, folder / "below" / "c.PNG")
    wait_for(page, lambda: len(service.album.entries()) == 7)
    wait_for(page, lambda: page.inner_text("#status") == "")


def test_a_dropped_folder_of_more_files_than_a_browser_lists_at_once(page, service, tmp_path):
    (tmp_path / "folder").mkdir()
    first = photo(tmp_path, "first.png")
    for number in range(120):
        (tmp_path / "folder" / f"{number}.png").write_bytes(first.read_bytes() if number % 10 == 0 else b"no picture")
    drop(page, tmp_path / "folder")
    wait_for(page, lambda: [one.name for one in service.album.entries()] == [f"{n}.png" for n in range(0, 120, 10)])
    wait_for_text(page, "#status", "119.png can’t be opened")


def test_files_that_cannot_be_opened_are_named_after_those_that_are_chosen_meanwhile(page, service, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    names = [photo(tmp_path, f"{number}.png") for number in range(4)]
    page.set_input_files("#files", [str(name) for name in names])
    page.set_input_files("#files", str(tmp_path / "notes.txt"))
    wait_for(page, lambda: len(service.album.entries()) == 4)
    page.wait_for_timeout(1000)
    wait_for_text(page, "#status", "notes.txt can’t be opened")


def test_a_file_that_did_not_reach_the_server_is_not_said_to_be_sent_again(page, service, tmp_path):
    io.write_png(tmp_path / "old.png", scene())
    with failing(page, "POST", "/api/photos", "lost"):
        page.set_input_files("#files", tmp_path / "old.png")
        wait_for_text(page, "#status", "did not answer when old.png was opened. If it does not appear, choose it again")
    open_photo(page, tmp_path / "old.png")
    assert len(service.album.entries()) == 1 and page.inner_text("#status") == ""


def test_the_link_of_another_server_is_opened_in_the_same_tab(page, service):
    page.evaluate("sessionStorage.setItem('toolbox-token', 'old')")
    page.reload()
    wait_for_text(page, "#status", "no longer valid")
    page.evaluate("token => { location.hash = `token=${token}`; }", service.token)
    wait_until_ready(page)
    assert page.inner_text("#status") == "" and "token" not in page.url

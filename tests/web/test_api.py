"""The API of the page: the same results as `toolbox restore`, and nothing for strangers."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from page_server import add, call, restore, running, state, wait_until
from standins import gray, hold, run_restore

from toolbox.errors import OutputError, UsageError
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.masks.detectors import find_painted_shape
from toolbox.utils import files
from toolbox.web.album import Album
from toolbox.web.server import Service


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "old print.png"
    io.write_png(path, gray())
    return path


def mask_png(tmp_path, mask):
    path = tmp_path / "drawn.png"
    io.write_png(path, mask.astype(np.uint8) * 255)
    return path


def test_a_photograph_is_opened_restored_and_saved_with_the_bytes_of_the_command(service, photo, tmp_path):
    entry = add(service, photo)
    assert (entry["name"], entry["width"], entry["height"], entry["kind"]) == ("old print.png", 64, 48, "gray")
    assert restore(service, entry["id"])["state"] == "restored"
    run_restore(photo, "-o", tmp_path / "out")
    assert call(service, "GET", f"/api/photos/{entry['id']}/result") == (
        200,
        (tmp_path / "out/old print.png").read_bytes(),
    )


def test_a_changed_mask_is_what_is_filled_as_with_mask_in_the_command(service, photo, tmp_path):
    mask = np.zeros((48, 64), bool)
    mask[10:20, 30:50] = True
    drawn = mask_png(tmp_path, mask)
    entry = add(service, photo)
    status, entry = call(service, "PUT", f"/api/photos/{entry['id']}/mask", drawn.read_bytes())
    assert status == 200 and entry["is_edited"] and entry["lost"] == pytest.approx(200 / (48 * 64))
    restore(service, entry["id"])
    run_restore(photo, "-o", tmp_path / "out", "--mask", drawn)
    assert call(service, "GET", f"/api/photos/{entry['id']}/result")[1] == (tmp_path / "out/old print.png").read_bytes()


def test_transparent_parts_stay_marked_because_they_are_filled_in_any_case(service, tmp_path):
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, 60:] = 0
    io.write_png(tmp_path / "old.png", gray(), alpha=alpha)
    photo_id = add(service, tmp_path / "old.png")["id"]
    mask = np.zeros((48, 64), bool)
    mask[10:20, 30:50] = True
    for what in ("mask", "marks"):
        entry = call(service, "PUT", f"/api/photos/{photo_id}/{what}", mask_png(tmp_path, mask).read_bytes())[1]
        assert entry["lost"] == pytest.approx((mask | (alpha == 0)).mean())
        assert restore(service, photo_id)["lost"] == entry["lost"]
        (tmp_path / "sent.png").write_bytes(call(service, "GET", f"/api/photos/{photo_id}/marks")[1])
        assert np.array_equal(io.read_mask(tmp_path / "sent.png"), mask | (alpha == 0))


def test_an_empty_mask_ends_the_search_for_a_lost_region(service, restorer, tmp_path):
    pixels = gray(96, 96)
    pixels[20:60, 30:70] = 0
    io.write_png(tmp_path / "p.png", pixels)
    assert find_painted_shape(np.dstack([pixels] * 3)).sum() == 1600
    entry = add(service, tmp_path / "p.png")
    assert entry["lost"] == pytest.approx(1600 / 96**2)
    empty = mask_png(tmp_path, np.zeros((96, 96), bool))
    call(service, "PUT", f"/api/photos/{entry['id']}/mask", empty.read_bytes())
    restore(service, entry["id"])
    assert not restorer.calls[-1][2].any()


def test_a_colour_photograph_without_marks_is_left_unchanged_with_the_reason(service, tmp_path):
    rng = np.random.default_rng(0)
    io.write_png(tmp_path / "c.png", rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    entry = restore(service, add(service, tmp_path / "c.png")["id"])
    assert entry["state"] == "unchanged" and "in colour" in entry["reason"]
    assert call(service, "GET", f"/api/photos/{entry['id']}/result")[0] == 404
    assert restore(service, entry["id"], keep="luma")["state"] == "restored"


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n and no more"], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_photograph_is_refused_in_one_line(service, data):
    status, answer = call(service, "POST", "/api/photos?name=x.png", data)
    assert status == 400 and "\n" not in answer["error"] and "x.png" in answer["error"]
    assert call(service, "GET", "/api/photos") == (200, [])


def test_a_mask_of_another_size_is_refused(service, photo, tmp_path):
    entry = add(service, photo)
    other = mask_png(tmp_path, np.zeros((10, 10), bool))
    status, answer = call(service, "PUT", f"/api/photos/{entry['id']}/mask", other.read_bytes())
    assert status == 400 and "10x10" in answer["error"] and "64x48" in answer["error"]


def test_too_many_pixels_are_refused_before_decoding(tmp_path, restorer, photo):
    with running(tmp_path / "album", max_pixels=100) as service:
        status, answer = call(service, "POST", "/api/photos?name=x.png", photo.read_bytes())
    assert status == 400 and "more than the limit of 100" in answer["error"]


def test_a_photograph_that_fails_does_not_stop_the_next(service, restorer, photo):
    first, second = add(service, photo), add(service, photo)
    broken = iter([True])

    def fail_once(count):
        if next(broken, False):
            raise RuntimeError("out of\nmemory")

    object.__setattr__(restorer, "before_call", fail_once)
    call(service, "POST", f"/api/photos/{first['id']}/restore", b"{}")
    assert restore(service, second["id"])["state"] == "restored"
    failed = call(service, "GET", f"/api/photos/{first['id']}")[1]
    assert failed["state"] == "failed" and failed["reason"] == "RuntimeError: out of memory"


def test_a_waiting_photograph_can_be_cancelled(service, restorer, photo):
    gate = hold(restorer)
    first, second = add(service, photo)["id"], add(service, photo)["id"]
    for photo_id in (first, second):
        call(service, "POST", f"/api/photos/{photo_id}/restore", b"{}")
    wait_until(lambda: state(service, first) == "running")
    assert state(service, second) == "waiting"
    assert call(service, "DELETE", f"/api/photos/{second}/restore")[1]["state"] == "new"
    gate.set()
    wait_until(lambda: state(service, first) == "restored")
    assert len(restorer.calls) == 1


def test_a_result_counts_the_changes_that_it_has(service, restorer, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    path = f"/api/photos/{photo_id}"

    def edits():
        entry = call(service, "GET", path)[1]
        return entry["edits"], entry["restored_edits"]

    def change(*, is_marked=True):
        call(service, "PUT", f"{path}/mask", mask_png(tmp_path, np.full((48, 64), is_marked)).read_bytes())

    restore(service, photo_id)
    assert edits() == (0, 0)
    call(service, "PUT", f"{path}/reference?name=other.png", photo.read_bytes())
    assert edits()[0] > 0 == edits()[1]
    restore(service, photo_id)
    assert edits()[0] == edits()[1]
    before = edits()[1]
    change()  # a result without a known pixel is refused
    assert restore(service, photo_id)["state"] == "failed" and edits() == (before + 1, before + 1)
    gate = hold(restorer)
    change(is_marked=False)
    call(service, "POST", f"{path}/restore", b"{}")
    wait_until(lambda: state(service, photo_id) == "running")
    change(is_marked=False)
    gate.set()
    wait_until(lambda: state(service, photo_id) == "restored")
    assert edits() == (before + 3, before + 2)
    gate = hold(restorer)
    call(service, "POST", f"{path}/restore", b"{}")
    wait_until(lambda: state(service, photo_id) == "running")
    call(service, "DELETE", f"{path}/restore")
    gate.set()
    wait_until(lambda: state(service, photo_id) == "restored")
    assert edits() == (before + 3, before + 2)


def test_a_running_restoration_is_cancelled_and_leaves_the_photograph_as_it_was(service, restorer, photo):
    photo_id = add(service, photo)["id"]
    path = f"/api/photos/{photo_id}"
    for before in (None, 1):
        if before is not None:
            assert restore(service, photo_id, saturation=before)["state"] == "restored"
        entry, result = call(service, "GET", path), call(service, "GET", f"{path}/result")
        gate = hold(restorer)
        call(service, "POST", f"{path}/restore", b'{"saturation": 0.5}')
        wait_until(lambda: state(service, photo_id) == "running")
        assert call(service, "DELETE", f"{path}/restore")[1]["state"] == "running"
        gate.set()
        wait_until(lambda: state(service, photo_id) != "running")
        assert (call(service, "GET", path), call(service, "GET", f"{path}/result")) == (entry, result)
    # Asked for again while it ends, it is restored with the last settings.
    gate = hold(restorer)
    call(service, "POST", f"{path}/restore", b"{}")
    wait_until(lambda: state(service, photo_id) == "running")
    call(service, "DELETE", f"{path}/restore")
    call(service, "POST", f"{path}/restore", b'{"saturation": 0.25}')
    gate.set()
    wait_until(lambda: state(service, photo_id) == "restored")
    assert call(service, "GET", path)[1]["settings"] == {"saturation": 0.25}


def test_a_photograph_that_is_closed_while_it_is_restored_leaves_no_file(service, restorer, photo, tmp_path):
    gate = hold(restorer)
    photo_id = add(service, photo)["id"]
    call(service, "POST", f"/api/photos/{photo_id}/restore", b"{}")
    wait_until(lambda: state(service, photo_id) == "running")
    assert call(service, "DELETE", f"/api/photos/{photo_id}")[0] == 204
    gate.set()
    assert restore(service, add(service, photo)["id"])["state"] == "restored"
    assert len(list((tmp_path / "album").iterdir())) == 1


def test_what_a_killed_server_leaves_is_the_last_finished_restoration(service, restorer, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    before = restore(service, photo_id, saturation=0.5)
    gate = hold(restorer)
    settings = json.dumps({"saturation": 1.5}).encode()
    call(service, "POST", f"/api/photos/{photo_id}/restore", settings)
    wait_until(lambda: state(service, photo_id) == "running")
    mask = mask_png(tmp_path, np.ones((48, 64), bool) & (np.arange(64) < 9)).read_bytes()
    assert call(service, "PUT", f"/api/photos/{photo_id}/mask", mask)[0] == 200
    (again,) = Album(tmp_path / "album").entries()  # as a killed server leaves it
    gate.set()
    outcome = ("state", "settings", "notes", "origins", "restored_edits", "began")
    assert {name: getattr(again, name) for name in outcome} == {
        name: tuple(before[name]) if name == "notes" else before[name] for name in outcome
    }
    assert again.lost > 0 and again.edits == before["edits"] + 1


def test_a_full_disk_does_not_end_the_worker(service, photo, monkeypatch):
    first, second = add(service, photo)["id"], add(service, photo)["id"]
    write = files.write_bytes

    def write_or_fail(path, data):
        if first in str(path):
            raise OutputError("No space left on the disk.")
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", write_or_fail)
    failed = restore(service, first)
    assert (failed["state"], failed["reason"]) == ("failed", "No space left on the disk.")
    assert restore(service, second)["state"] == "restored"


def test_photographs_are_kept_over_a_restart(tmp_path, restorer, photo):
    with running(tmp_path / "album") as service:
        entry = add(service, photo)
        restore(service, entry["id"])
        result = call(service, "GET", f"/api/photos/{entry['id']}/result")
        before = call(service, "GET", "/api/photos")
    with running(tmp_path / "album") as service:
        assert call(service, "GET", "/api/photos") == before
        assert call(service, "GET", f"/api/photos/{entry['id']}/result") == result
        assert call(service, "DELETE", f"/api/photos/{entry['id']}")[0] == 204
    assert not list((tmp_path / "album").iterdir())


def test_the_api_needs_the_token(service):
    assert call(service, "GET", "/api/photos", token="")[0] == 403
    assert call(service, "GET", "/api/photos", token="wrong")[0] == 403
    assert call(service, "GET", "/", token="")[0] == 200
    assert len(service.token) >= 32 and service.link.endswith(f"#token={service.token}")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", ""])
def test_another_host_name_is_refused(service, host):
    assert call(service, "GET", "/", headers={"Host": host})[0] in (400, 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "file://", "http://127.0.0.1:1", "http://[::1"])
def test_another_origin_is_refused(service, origin):
    assert call(service, "GET", "/api/photos", headers={"Origin": origin})[0] == 403


def test_the_own_origin_is_answered_without_cors(service):
    import urllib.request

    request = urllib.request.Request(
        f"http://localhost:{service.port}/", headers={"Origin": f"http://localhost:{service.port}"}
    )
    with urllib.request.urlopen(request) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
    assert "access-control-allow-origin" not in headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/../../etc/passwd"],
)
def test_no_file_outside_the_page_is_served(service, path):
    status, answer = call(service, "GET", path)
    assert status in (403, 404) and b"import" not in (answer if isinstance(answer, bytes) else b"")


@pytest.mark.parametrize("name", ["../../x.png", "..\\x.png", "/etc/passwd", "a\nb.png", "x" * 1000, " ", ""])
def test_a_name_from_outside_is_never_a_path(service, photo, tmp_path, name):
    before = {path for path in tmp_path.rglob("*") if "album" not in path.parts}
    entry = add(service, photo, name)
    assert "/" not in entry["name"] and "\n" not in entry["name"] and len(entry["name"]) <= 200
    assert {path for path in tmp_path.rglob("*") if "album" not in path.parts} == before


def test_mutated_requests_leave_the_server_alive_and_show_no_traceback(service, photo):
    rng = random.Random(1)
    photo_id = add(service, photo)["id"]
    parts = ["api", "photos", photo_id, "..", "view", "mask", "result", "restore", "%00", "é", "", "x" * 300, "static"]
    bodies = [
        b"",
        b"{}",
        b"[]",
        b'{"keep_tone": 3}',
        b'{"keep_tone": 1}',
        b'{"x": 1}',
        b"\xff\xfe",
        b"[" * 3000,
        b"NaN",
    ]
    for _ in range(200):
        path = "/" + "/".join(rng.choices(parts, k=rng.randint(1, 5)))
        path = "".join(c if c.isascii() else "%C3%A9" for c in path)
        status, answer = call(service, rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH"]), path, rng.choice(bodies))
        assert 200 <= status < 500, (path, status)
        assert "Traceback" not in json.dumps(answer if not isinstance(answer, bytes) else answer.decode("latin-1"))
    assert call(service, "GET", "/api/choices")[0] == 200


def test_the_page_is_small_and_names_no_other_address(service):
    from toolbox.web.app import STATIC

    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        assert "://" not in path.read_text("utf-8").replace("http://www.w3.org/2000/svg", ""), path.name
    texts = [json.loads(path.read_text("utf-8")) for path in (STATIC / "texts").glob("*.json")]
    assert len(texts) >= 2 and all(text.keys() == texts[0].keys() for text in texts)


def test_the_page_offers_what_the_command_has(service, photo, restorer):
    offered = call(service, "GET", "/api/choices")[1]["settings"]
    assert offered["fill"][0] == "auto" and {"smooth", "texture", "network"} < set(offered["fill"])
    entry = add(service, photo)
    status, answer = call(service, "POST", f"/api/photos/{entry['id']}/restore", b'{"fill": "nowhere"}')
    assert (status, answer["error"]) == (400, "There is no such setting or value.")
    assert restore(service, entry["id"], fill="smooth", saturation=0.5)["settings"] == {
        "fill": "smooth",
        "saturation": 0.5,
    }


@pytest.mark.parametrize(("host", "text"), [("", "--host is empty"), (" ", "--host is empty"), ("192.0.2.1", "--host")])
def test_a_host_that_is_no_address_of_this_machine_is_refused(tmp_path, restorer, host, text):
    service = Service(
        album=Album(tmp_path), catalog=catalog.load(third_party=False), weights="luma", device="cpu", host=host, port=0
    )
    with pytest.raises(UsageError, match=text) as caught:
        service.prepare()
    assert "takes an address of this machine" in str(caught.value)

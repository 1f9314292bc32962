"""Drill: the server of the page answers hostile requests, twenty tabs at once, and large albums."""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from page_server import add, call, restore, running, state, wait_until
from standins import FILL, gray, install_stand_in

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io

REQUESTS = [250, pytest.param(2000, marks=pytest.mark.drill)]
EVERY = [99, pytest.param(1, marks=pytest.mark.drill)]
TABS = 20
# Of the memory drill: photographs of 12 megapixels, and how much the memory may grow after the first ten.
PHOTOS = int(os.environ.get("PAGE_DRILL_PHOTOS", "200"))
MAX_GROWTH = 1.02
USUAL = ("GET", "POST", "PUT", "DELETE")
METHODS = (*3 * USUAL, "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 50, "\x01")
RESOURCES = (
    "view",
    "small",
    "mask",
    "hints",
    "reference",
    "colors",
    "damage",
    "sheet",
    "variants/2",
    "variants/-1",
    "quick",
    "provenance",
    "result",
    "restore",
)
PARTS = (
    *("api", "photos", "choices", *RESOURCES),
    *("static", "page.js", "texts", "..", ".", "%2e%2e", "%2f", "%00", "%ff", "%C3%A9", "x" * 300, "", "photo.json"),
)
QUERIES = (
    "",
    "?name=",
    "?name=..%2F..%2Fx.png",
    "?name=%00",
    "?x=0.5&y=0.5",
    "?x=nan&y=1e999",
    "?" + "a=&" * 200,
    "?%",
)
HEADERS = (
    *20 * ({},),
    {"Host": "evil.example"},
    {"Host": ""},
    {"Host": "x" * 5000},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[::1"},
    {"X-Toolbox-Token": ""},
    {"X-Toolbox-Token": "\xe9" * 40},
    {"Content-Type": "multipart/form-data; boundary=" + "b" * 500},
    {"Content-Type": "\x7f"},
    {"Content-Length": "-1"},
    {"Content-Length": "99999999999999"},
    {"Content-Length": "x"},
    {"Transfer-Encoding": "chunked"},
    {"Expect": "100-continue"},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"Range": "bytes=5-1"},
    {"Range": "bytes=0-" + "9" * 30},
    {"Cookie": "a" * 20_000},
)


@pytest.fixture
def service(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    with running(tmp_path / "album") as service:
        yield service


@pytest.fixture
def photo(tmp_path):
    io.write_png(tmp_path / "old.png", gray())
    return tmp_path / "old.png"


def bodies(photo):
    """Return bodies of requests: settings of many kinds, photographs that are whole, cut and changed."""
    rng = random.Random(2)
    data = photo.read_bytes()
    changed = [bytes(byte ^ (rng.random() < 0.01) * 255 for byte in data) for _ in range(8)]
    texts = ("", "{}", "[]", "null", '{"saturation": NaN}', '{"keep_tone": 1}', '{"fill": []}', "[" * 4000, '"' * 9)
    return [*(text.encode() for text in texts), b"\xff\xfe", bytes(5000), data, data[:50], *changed]


def request(service, rng, path, body):
    """Send a request that may be wrong in any way; return the status and the answer, None if the server hung up."""
    headers = {"X-Toolbox-Token": service.token} | rng.choice(HEADERS)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=2)
    try:
        connection.putrequest(rng.choice(METHODS), path, skip_host="Host" in headers)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(body)
        if headers.get("Content-Length") == "99999999999999":
            connection.sock.shutdown(socket.SHUT_WR)  # or both would wait for the rest
        response = connection.getresponse()
        return response.status, response.read().decode("latin-1")
    except (http.client.HTTPException, OSError, ValueError):
        return None
    finally:
        connection.close()


def outside(tmp_path):
    return {path for path in tmp_path.rglob("*") if "album" not in path.relative_to(tmp_path).parts}


@pytest.mark.parametrize("count", REQUESTS)
def test_hostile_requests_get_no_traceback_no_file_and_leave_the_server_alive(service, photo, tmp_path, count):
    rng = random.Random(count)
    photo_id = add(service, photo)["id"]
    sent = bodies(photo)
    before = outside(tmp_path)
    answers = []
    for _ in range(count):
        parts = rng.choices([*PARTS, photo_id], k=rng.randint(1, 5))
        if rng.random() < 0.6:
            parts = ["api", "photos", photo_id, rng.choice(RESOURCES)]
        answer = request(service, rng, "/" + "/".join(parts) + rng.choice(QUERIES), rng.choice(sent))
        if answer is not None:
            answers.append(answer)
        if state_or_none(service, photo_id) is None:
            photo_id = add(service, photo)["id"]
    assert len(answers) > count / 2 and any(status < 300 for status, _ in answers)
    assert not [answer for answer in answers if answer[0] >= 500]
    assert not [text for _, text in answers if "Traceback" in text or str(tmp_path) in text]
    assert outside(tmp_path) == before
    assert restore(service, add(service, photo)["id"])["state"] == "restored"


def state_or_none(service, photo_id):
    status, entry = call(service, "GET", f"/api/photos/{photo_id}")
    return entry["state"] if status == 200 else None


@pytest.mark.parametrize("every", EVERY)
def test_the_files_of_the_corpora_are_opened_or_refused(service, shared, tmp_path, every):
    files = sorted(path for path in (shared / "corpora").rglob("*") if path.is_file())[::every]
    before, opened = outside(tmp_path), 0
    for path in files:
        status, answer = call(service, "POST", f"/api/photos?name={path.stem[:40].encode().hex()}", path.read_bytes())
        assert status in (201, 400), (path, answer)
        if status == 400:
            assert "\n" not in answer["error"] and str(tmp_path) not in answer["error"]
            continue
        opened += 1
        assert call(service, "DELETE", f"/api/photos/{answer['id']}")[0] == 204
    assert 0 < opened < len(files)
    assert outside(tmp_path) == before and not list((tmp_path / "album").iterdir())


def test_twenty_tabs_at_once_are_all_served(service, tmp_path):
    def tab(number):
        path = tmp_path / f"{number}.png"
        io.write_png(path, gray(seed=number))
        photo_id = add(service, path)["id"]
        mask = np.zeros((48, 64), np.uint8)
        mask[:, number : number + 3] = 255
        call(service, "PUT", f"/api/photos/{photo_id}/mask", io.encode(np.dstack([mask] * 3), "PNG")[0])
        entry = restore(service, photo_id)
        (tmp_path / f"{number}.result.png").write_bytes(call(service, "GET", f"/api/photos/{photo_id}/result")[1])
        result = io.read_rgb(tmp_path / f"{number}.result.png")
        own = (result[:, number + 3 :, 0] == gray(seed=number)[:, number + 3 :]).all()
        return entry["state"] == "restored" and own and (result[:, number : number + 3] == FILL).all()

    with ThreadPoolExecutor(TABS) as tabs:
        assert all(tabs.map(tab, range(1, TABS + 1)))
    assert len(call(service, "GET", "/api/photos")[1]) == TABS


@contextmanager
def serving(folder):
    """Run `toolbox serve` in a process; yield its port, token and process."""
    command = [sys.executable, "-P", "-m", "toolbox", "serve", "--port", "0", "--no-browser", "--device", "cpu"]
    with subprocess.Popen([*command, "--keep", folder], stdout=subprocess.PIPE, text=True) as process:
        try:
            found = None
            while found is None:
                line = process.stdout.readline()
                assert line, "the server ended"
                found = re.search(r":(\d+)/#token=(\S+)", line)
            yield SimpleNamespace(port=int(found[1]), token=found[2], process=process)
        finally:
            process.terminate()
            process.wait(60)


def large_photo(number):
    """Return a gray photograph of 12 megapixels, another for each number."""
    picture = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[number % 8]))
    rows, columns = -(-3000 // picture.shape[0]), -(-4000 // picture.shape[1])
    return np.roll(np.tile(picture, (rows, columns))[:3000, :4000], number, axis=1)


@pytest.mark.drill
def test_an_album_of_large_photographs_does_not_grow_the_memory(tmp_path):
    with serving(tmp_path / "album") as service:
        sizes = []
        for number in range(PHOTOS):
            io.write_png(tmp_path / "large.png", large_photo(number))
            photo_id = add(service, tmp_path / "large.png")["id"]
            call(service, "POST", f"/api/photos/{photo_id}/restore", b"{}")
            wait_until(lambda: state(service, photo_id) in ("restored", "failed"), seconds=600)  # noqa: B023
            assert state(service, photo_id) == "restored"
            assert call(service, "GET", f"/api/photos/{photo_id}/variants/2")[0] == 200
            call(service, "DELETE", f"/api/photos/{photo_id}")
            statm = Path(f"/proc/{service.process.pid}/statm").read_text().split()
            sizes.append(int(statm[1]) * os.sysconf("SC_PAGE_SIZE"))
            print(number, sizes[-1] >> 20, flush=True)
    assert max(sizes[10:]) <= MAX_GROWTH * max(sizes[:10])


@pytest.mark.drill
def test_a_server_that_is_killed_loses_no_photograph(tmp_path, photo):
    known = {}
    for number in range(3):
        with serving(tmp_path / "album") as service:
            entries = {entry["id"]: entry["state"] for entry in call(service, "GET", "/api/photos")[1]}
            assert entries.keys() == known.keys()
            assert all(entries[photo_id] in (wanted, "new") for photo_id, wanted in known.items())
            done, cut = add(service, photo)["id"], add(service, photo)["id"]
            known |= {done: restore(service, done)["state"], cut: "restored"}
            call(service, "POST", f"/api/photos/{cut}/restore", b"{}")
            service.process.kill() if number < 2 else wait_until(lambda: state(service, cut) == "restored")  # noqa: B023
    assert len(known) == 6

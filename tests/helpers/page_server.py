"""The page of `toolbox serve` on a free port, with a stand-in for the weights."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import quote

from toolbox.hooks import catalog
from toolbox.web.album import Album
from toolbox.web.server import Service

SECONDS = 600  # after which an answer is not waited for; a large photograph on a busy machine takes long


@contextmanager
def running(folder, **options):
    """Serve an album; `standins.install_stand_in` must have been called, or the shipped weights are used."""
    folder.mkdir(exist_ok=True)
    service = Service(
        album=Album(folder, **options),
        catalog=catalog.load(third_party=False),
        weights="luma",
        device="cpu",
        host="127.0.0.1",
        port=0,
    )
    service.prepare()
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        wait_until(lambda: service.is_running)
        yield service
    finally:
        service.stop()
        thread.join()


def wait_until(condition, seconds=60):
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen in time")


def call(service, method, path, body=None, *, headers=None, token=None):
    """Send a request; return the status and the body, decoded if it is JSON."""
    url = f"http://127.0.0.1:{service.port}{path}"
    sent = {"X-Toolbox-Token": service.token if token is None else token} | (headers or {})
    request = urllib.request.Request(url, data=body, method=method, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            status, kind, data = response.status, response.headers["content-type"] or "", response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, kind, data = error.code, error.headers["content-type"] or "", error.read()
    return status, json.loads(data) if kind.startswith("application/json") else data


def add(service, path, name=None):
    status, entry = call(
        service, "POST", f"/api/photos?name={quote(path.name if name is None else name)}", path.read_bytes()
    )
    assert status == 201, entry
    return entry


def restore(service, photo_id, **settings):
    """Restore a photograph, and return its entry when it is finished."""
    status, entry = call(service, "POST", f"/api/photos/{photo_id}/restore", json.dumps(settings).encode())
    assert status == 202, entry
    wait_until(lambda: state(service, photo_id) not in ("waiting", "running"))
    return call(service, "GET", f"/api/photos/{photo_id}")[1]


def state(service, photo_id):
    return call(service, "GET", f"/api/photos/{photo_id}")[1]["state"]

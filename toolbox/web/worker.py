"""A thread that restores the photographs of an album one after the other, in the order of the requests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from toolbox.errors import ToolboxError, UsageError, named
from toolbox.inference.batch import restore_all
from toolbox.inference.options import RestoreOptions
from toolbox.inference.restorer import Restorer
from toolbox.utils import files
from toolbox.web.album import HINTS, Album
from toolbox.web.prints import correction_options

MAX_WAITING = 500
# The states of `PhotoEntry` for the outcomes of a restoration.
STATES = {"restored": "restored", "copied": "restored", "left as it is": "unchanged"}


class Worker:
    """Restores photographs in a thread, with the same calls as `toolbox restore`."""

    def __init__(
        self,
        album: Album,
        load: Callable[[Mapping[str, Any]], Restorer],
        repairing: Callable[[str, RestoreOptions], RestoreOptions] = lambda photo_id, options: options,
    ) -> None:
        """Start the thread.

        Args:
            album: where photographs, masks and results are.
            load: returns the restorer for the settings of a photograph; called in the thread.
            repairing: adds the damage that is repaired to the options of a photograph; called in the thread.
        """
        self.album = album
        self._load = load
        self._repairing = repairing
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._asked: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="restore", daemon=True)
        self._thread.start()

    def restore(self, photo_id: str, settings: Mapping[str, Any]) -> None:
        """Restore a photograph when its turn comes; if it waits already, with these settings instead.

        Args:
            photo_id: the photograph.
            settings: `keep` and `keep_tone`, as in RestoreOptions, `second`, as in `Album.options`, the corrections of
                a print, and what `load` takes.

        Raises:
            KeyError: there is no such photograph.
            UsageError: too many photographs wait.
        """
        self.album.entry(photo_id)
        with self._lock:
            is_waiting = photo_id in self._asked
            if not is_waiting and len(self._asked) >= MAX_WAITING:
                raise UsageError(f"{MAX_WAITING} photographs wait to be restored. Try again later.")
            self._asked[photo_id] = dict(settings)
        self.album.update(photo_id, state="waiting", reason="", settings=dict(settings))
        if not is_waiting:
            self._waiting.put(photo_id)

    def cancel(self, photo_id: str) -> bool:
        """Take a waiting photograph out of the queue; return whether it waited."""
        with self._lock:
            was_waiting = self._asked.pop(photo_id, None) is not None
        if was_waiting:
            self.album.update(photo_id, state="new")
        return was_waiting

    def stop(self) -> None:
        """End the thread after the photograph in hand."""
        with self._lock:
            self._asked.clear()
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (photo_id := self._waiting.get()) is not None:
            with self._lock:
                settings = self._asked.pop(photo_id, None)
            if settings is None:
                continue  # cancelled
            try:
                self._restore(photo_id, settings)
            except KeyError:
                continue  # closed meanwhile
            except ToolboxError as error:
                self._finish(photo_id, state="failed", reason=files.printable_line(error))
            except Exception as error:  # whatever happens, the next photograph has its turn
                self._finish(photo_id, state="failed", reason=files.printable(named(error)))

    def _restore(self, photo_id: str, settings: Mapping[str, Any]) -> None:
        self.album.update(photo_id, state="running")
        options = self.album.options(
            photo_id,
            keep=settings.get("keep", "auto"),
            keep_tone=settings.get("keep_tone", False),
            second=settings.get("second", "scene"),
            **correction_options(settings),
        )
        options = self._repairing(photo_id, options)
        restorer = self._load(settings)
        result = next(iter(restore_all([self.album.job(photo_id)], restorer, options)))
        names = self._names(photo_id, options)
        # A photograph that needs nothing was copied, which is a result too.
        needs_nothing = (result.reason,) if result.status == "copied" else ()
        state = STATES.get(result.status, "failed")
        self._finish(
            photo_id,
            state=state,
            reason=_replace(result.reason, names),
            notes=tuple(_replace(note, names) for note in (*needs_nothing, *result.notes)),
            origins=dict(result.origins),
        )

    def _finish(self, photo_id: str, **changes: Any) -> None:  # noqa: ANN401 - the fields of PhotoEntry
        """Record the outcome; a photograph that was asked for again meanwhile still waits."""
        with self._lock:
            if photo_id in self._asked:
                changes["state"] = "waiting"
            self.album.update(photo_id, **changes)

    def _names(self, photo_id: str, options: RestoreOptions) -> dict[str, str]:
        """Return what the page calls the files that messages name: no path of this machine is sent."""
        entry = self.album.entry(photo_id)
        named = {self.album.job(photo_id).photo: entry.name, self.album.path(photo_id, HINTS): "hints"}
        named |= dict.fromkeys((*options.references, *filter(None, [options.palette])), entry.reference)
        return {files.printable(path): name for path, name in named.items()} | {
            files.printable(self.album.path(photo_id, "")): ""
        }


def _replace(text: str, names: Mapping[str, str]) -> str:
    for path, name in names.items():
        text = text.replace(path, name)
    return text

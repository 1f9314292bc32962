"""A thread that restores the photographs of an album one after the other, in the order of the requests."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from toolbox.errors import CancelledError, ToolboxError, UsageError
from toolbox.inference.batch import restore_all
from toolbox.inference.options import RestoreOptions
from toolbox.inference.restorer import Restorer
from toolbox.utils import files, memory, surface
from toolbox.utils.cancelling import cancellable
from toolbox.web.album import HINTS, MASK, Album
from toolbox.web.damage import REST
from toolbox.web.photo_entry import outcome
from toolbox.web.prints import correction_options
from toolbox.web.quick_colors import luma_key

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
        # What photographs that wait or are restored were before: a cancelled one becomes that again.
        self._before: dict[str, dict[str, Any]] = {}
        self._running: str | None = None
        self._is_cancelled = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="restore", daemon=True)
        self._thread.start()

    def restore(self, photo_id: str, settings: Mapping[str, Any]) -> None:
        """Put a photograph into the queue, with these settings instead of earlier ones if it waits or is restored.

        Args:
            photo_id: the photograph.
            settings: `keep` and `keep_tone`, as in RestoreOptions, `second`, as in `Album.options`, the corrections of
                a print, and what `load` takes.

        Raises:
            KeyError: there is no such photograph.
            UsageError: too many photographs wait.
        """
        with self._lock:
            entry = self.album.entry(photo_id)
            is_waiting = photo_id in self._asked
            if not is_waiting and len(self._asked) >= MAX_WAITING:
                raise UsageError(f"{MAX_WAITING} photographs wait to be restored. Try again later.")
            self.album.update(photo_id, state="waiting", reason="", settings=dict(settings))
            self._before.setdefault(photo_id, outcome(entry))
            self._asked[photo_id] = dict(settings)
            # The result of the current restoration would be of earlier settings or guides.
            self._is_cancelled |= photo_id == self._running
        if not is_waiting:
            self._waiting.put(photo_id)

    def cancel(self, photo_id: str) -> None:
        """Take a photograph out of the queue, or end its restoration after the current step.

        It becomes what it was before: its last result stays.
        """
        with self._lock:
            was_waiting = self._asked.pop(photo_id, None) is not None
            if photo_id == self._running:
                self._is_cancelled = True
            elif was_waiting:
                self.album.update(photo_id, **self._before.pop(photo_id))

    def stop(self) -> None:
        """End the thread after the current step; photographs that wait or are restored become what they were before."""
        with self._lock:
            unfinished = [*self._asked, *filter(None, [self._running])]
        for photo_id in unfinished:
            self.cancel(photo_id)
        self._waiting.put(None)
        self._thread.join()

    @surface.shown_in("page")
    def _work(self) -> None:
        while (photo_id := self._waiting.get()) is not None:
            with self._lock:
                settings = self._asked.pop(photo_id, None)
                if settings is None:
                    continue  # cancelled
                self._running, self._is_cancelled = photo_id, False
            try:
                with cancellable(lambda: self._is_cancelled):
                    self._restore(photo_id, settings)
            except (CancelledError, KeyError):  # KeyError: closed meanwhile, or a guide was removed
                self._finish(photo_id, **self._before[photo_id])
            except ToolboxError as error:
                self._finish(photo_id, state="failed", reason=files.printable_line(error))
            except Exception as error:  # after any error, the next photograph is restored
                self._finish(photo_id, state="failed", reason=memory.explain(error))

    def _restore(self, photo_id: str, settings: Mapping[str, Any]) -> None:
        edits = self.album.entry(photo_id).edits
        self.album.update(photo_id, state="running", began=time.time(), restored_edits=edits)
        options = self.album.options(
            photo_id,
            keep=settings.get("keep", "auto"),
            keep_tone=settings.get("keep_tone", False),
            second=settings.get("second", "scene"),
            **correction_options(settings),
        )
        options = self._repairing(photo_id, options)
        luma = luma_key(self.album, photo_id, settings)
        restorer = self._load(settings)
        result = next(iter(restore_all([self.album.job(photo_id)], restorer, options)))
        names = self._names(photo_id, options)
        # A photograph that needs nothing was copied, which is a result too.
        needs_nothing = (result.reason,) if result.status == "copied" else ()
        state = STATES.get(result.status, "failed")
        self._finish(
            photo_id,
            state=state,
            kind=result.kind or self.album.entry(photo_id).kind,
            reason=_replace(result.reason, names),
            notes=tuple(_replace(note, names) for note in (*needs_nothing, *result.notes)),
            origins=dict(result.origins),
            settings=dict(settings),
            luma=luma,
            restored_edits=edits,
        )

    def _finish(self, photo_id: str, **changes: Any) -> None:  # noqa: ANN401 - the fields of PhotoEntry
        """Record the outcome; a photograph that was asked for again meanwhile still waits."""
        with self._lock:
            self._running = None
            if photo_id in self._asked:
                self._before[photo_id] |= changes
                changes = {name: value for name, value in changes.items() if name != "settings"} | {"state": "waiting"}
            else:
                del self._before[photo_id]
            self.album.update(photo_id, **changes)
        self.album.sweep(photo_id)
        memory.release_free_memory()

    def _names(self, photo_id: str, options: RestoreOptions) -> dict[str, str]:
        """Return what the page calls the files that messages name: no path of this machine is sent."""
        entry = self.album.entry(photo_id)
        named = {self.album.job(photo_id).photo: entry.name, self.album.path(photo_id, HINTS): "hints"}
        named |= dict.fromkeys((self.album.path(photo_id, name) for name in (MASK, REST)), "the marks")
        named |= dict.fromkeys((*options.references, *filter(None, [options.palette])), entry.reference)
        return {files.printable(path): name for path, name in named.items()} | {
            files.printable(self.album.path(photo_id, "")): ""
        }


def _replace(text: str, names: Mapping[str, str]) -> str:
    for path, name in names.items():
        text = text.replace(path, name)
    return text

"""Stop a loop on SIGINT, SIGTERM or SIGHUP when its current item is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from toolbox.utils.launcher import is_main_process, launcher_number
from toolbox.utils.screen import echo


@dataclass
class StopRequest:
    """The signal that asked the program to stop; None if there was none."""

    signal: int | None = None


@contextmanager
def stop_on_signals(after: str) -> Iterator[StopRequest]:
    """Record the first SIGINT, SIGTERM or SIGHUP, so that a loop can stop when its current item is done.

    A second signal stops the program at once. With several processes it is ignored: a launcher sends each signal again
    to processes that already have it, and it kills those that don't stop. Outside the main thread, which alone gets
    signals, nothing is recorded.

    Args:
        after: what will be completed before the program stops, for the message, such as "this photo".

    Yields:
        The request, which the loop must check.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    distributed = launcher_number("WORLD_SIZE", "1") > 1

    def record(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            if distributed:
                return
            raise SystemExit(128 + number)
        request.signal = number
        if is_main_process():
            hint = "" if distributed else " Press Ctrl-C again to stop at once."
            echo(f"Stopping after {after}.{hint}", err=True)

    numbers = [signal.SIGINT, signal.SIGTERM]
    # The system sends SIGHUP when the terminal is closed. `nohup` makes the program ignore it.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        numbers.append(signal.SIGHUP)
    old_handlers = {number: signal.signal(number, record) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, so that temporary files are deleted; by default they end the process.

    Only the main thread gets signals; in other threads nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # `nohup` makes the program ignore SIGHUP.
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    old_handlers = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)

"""Stop a loop when its current item is done, or end the program, on SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from toolbox.utils.launcher import is_main_process, launcher_number

# How long a program that stops waits for its message. A terminal that is stopped with Ctrl-S takes nothing.
PRINT_SECONDS = 2.0


class Interrupted(KeyboardInterrupt):
    """The program was asked to end by a signal other than that of Ctrl-C; what handles Ctrl-C handles it too."""

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


@dataclass
class StopRequest:
    """The signal that asked the program to stop; None if there was none."""

    signal: int | None = None


@contextmanager
def stop_on_signals(after: str, print_line: Callable[[str], None]) -> Iterator[StopRequest]:
    """Record the first SIGINT, SIGTERM or SIGHUP, so that a loop can stop when its current item is done.

    A second signal stops the program at once. With several processes it is ignored: a launcher sends each signal again
    to processes that already have it, and it kills those that don't stop. Outside the main thread, which alone gets
    signals, nothing is recorded.

    Args:
        after: what will be completed before the program stops, for the message, such as "this photo".
        print_line: prints the message. Another thread calls it: this one may have been interrupted while it held the
            locks of a progress bar.

    Yields:
        The request, which the loop must check.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    distributed = launcher_number("WORLD_SIZE", "1") > 1
    printed = threading.Event()

    def announce() -> None:
        hint = "" if distributed else " Press Ctrl-C again to stop at once."
        try:
            print_line(f"Stopping after {after}.{hint}")
        finally:
            printed.set()

    def record(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            if distributed:
                return
            raise SystemExit(128 + number)
        request.signal = number
        if is_main_process():
            _thread.start_new_thread(announce, ())  # `Thread.start` needs a lock that this thread may hold
        else:
            printed.set()

    with _handle([signal.SIGINT, signal.SIGTERM, *_defaults("SIGHUP")], record):
        try:
            yield request
        finally:
            if request.signal is not None:
                printed.wait(PRINT_SECONDS)


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

    with _handle(_defaults("SIGTERM", "SIGHUP"), stop):
        yield


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Raise Interrupted on SIGTERM and SIGHUP, so that temporary files are deleted as they are on Ctrl-C.

    A process that was forked inside ends as it would without. Only the main thread gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handle(_defaults("SIGTERM", "SIGHUP"), _Interrupt(os.getpid())):
        yield


@dataclass(frozen=True)
class _Interrupt:
    """The handler of `interrupt_on_signals` in the process `pid`."""

    pid: int

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self.pid:
            raise Interrupted(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _defaults(*names: str) -> list[signal.Signals]:
    """Return the signals of these names that the system has, and that only `interrupt_on_signals` handles, or nothing.

    The system sends SIGHUP when the terminal is closed. `nohup` makes the program ignore it.
    """
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in signals}
    return [number for number, old in handlers.items() if old == signal.SIG_DFL or isinstance(old, _Interrupt)]


@contextmanager
def _handle(numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle signals, and put the handlers of before back at the end."""
    old_handlers = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old_handler in old_handlers.items():
            signal.signal(number, old_handler)

"""Signals: what a process does with one for a while."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """A signal has this handler, then the one before again. Only a main thread may say so: others change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)

"""Weights and intermediate results in huge pages: a run reads all of them, and finds each of their pages first.

Linux gives memory in pages of 4 KB unless it is told otherwise. ``MADV_COLLAPSE`` (Linux 6.1) moves what is there into
pages of 2 MB, at once and where it can; nothing else changes. SmolLM2-135M's steps take a twelfth less time in float32,
and a tenth less in q4; encoders of the size of MiniLM and DistilBERT a fiftieth to a tenth less.
``HEADWAY_HUGE_PAGES=0`` in the environment leaves memory as it is.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import mmap
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SWITCH = "HEADWAY_HUGE_PAGES"

LEAST_BYTES = 8 << 20
"""Smaller graphs gain nothing: the processor remembers where all of their pages are."""

RUNS_BEFORE_MOVE = (32, 1024)
"""How often a graph runs before its memory is moved, which takes a fraction of a second, and moved again: what larger
inputs need has been added since then."""

_MADV_COLLAPSE = 25
_HUGE_PAGE_BYTES = 2 << 20
_PAGE_BYTES = mmap.PAGESIZE
# Collapsing fills holes: what is hardly used would take memory it does not have.
_LEAST_RESIDENT = 0.9
_MAPS_FILE = "/proc/self/maps"
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0\s*(\[heap\])?$")
# A turn of this many bytes takes about ten milliseconds, in which other threads wait for new memory.
_TURN_BYTES = 4 << 20

_only_one = threading.Lock()


class HugePagesOfSession:
    """Moves memory once a graph has run often enough to make up for it.

    Args:
        num_bytes: of its weights.
    """

    def __init__(self, num_bytes: int) -> None:
        self._is_worth_it = num_bytes >= LEAST_BYTES
        self._runs = itertools.count(1)

    def count_run(self) -> None:
        """The graph has run once more; any thread may say so."""
        if self._is_worth_it and next(self._runs) in RUNS_BEFORE_MOVE:
            collapse_soon()


def collapse_soon() -> None:
    """Move this process's large pieces of memory into huge pages, in a thread beside the work; on Linux alone."""
    if _is_allowed():
        threading.Thread(target=collapse, name="headway-huge-pages", daemon=True).start()


def collapse() -> int:
    """The same here and now; bytes of the pieces that were moved, or were in huge pages already."""
    madvise = _madvise() if _is_allowed() else None
    if madvise is None or not _only_one.acquire(blocking=False):
        return 0
    moved = 0
    try:
        for start, end in list(_pieces()):
            for address in range(start, end, _TURN_BYTES):
                size = min(_TURN_BYTES, end - address)
                if madvise(address, size, _MADV_COLLAPSE) == 0:
                    moved += size
    except OSError as error:
        logger.debug("Memory stays in small pages: %s", error)
    finally:
        _only_one.release()
    return moved


def _is_allowed() -> bool:
    return sys.platform == "linux" and os.environ.get(SWITCH) != "0"


def _madvise() -> Callable[[int, int, int], int] | None:
    return _of_memory("madvise", ctypes.c_int)


def _mincore() -> Callable[[int, int, int], int] | None:
    return _of_memory("mincore", ctypes.c_void_p)


def _of_memory(name: str, last: Any) -> Callable[[int, int, int], int] | None:
    """A function of the C library on an address, a size and something else, where this system has it."""
    if not os.path.exists(_MAPS_FILE):
        return None
    function: Any = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, last]
    return cast("Callable[[int, int, int], int] | None", function)


def _pieces() -> Iterator[tuple[int, int]]:
    """Start and end of the private memory that is nearly all in use: whole huge pages, neighbours together."""
    for start, end in list(_mappings()):
        in_use = np.flatnonzero(_are_in_use(start, end))
        for run in np.split(in_use, np.flatnonzero(np.diff(in_use) > 1) + 1):
            if run.size:
                yield start + int(run[0]) * _HUGE_PAGE_BYTES, start + (int(run[-1]) + 1) * _HUGE_PAGE_BYTES


def _mappings() -> Iterator[tuple[int, int]]:
    """Start and end of the private memory that can be written, cut to whole huge pages."""
    with open(_MAPS_FILE, encoding="ascii", errors="replace") as file:
        for line in file:
            found = _MAPPING.match(line)
            if found:
                start = -(-int(found[1], 16) // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
                end = int(found[2], 16) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
                if start < end:
                    yield start, end


def _are_in_use(start: int, end: int) -> NDArray[np.bool_]:
    """(huge pages,) whether nearly all the pages in each are in memory; none are where the kernel does not say."""
    mincore = _mincore()
    pages = np.zeros((end - start) // _PAGE_BYTES, dtype=np.uint8)
    if mincore is None or mincore(start, end - start, pages.ctypes.data) != 0:
        return np.zeros((end - start) // _HUGE_PAGE_BYTES, dtype=np.bool_)
    shares = (pages & 1).reshape(-1, _HUGE_PAGE_BYTES // _PAGE_BYTES).mean(axis=1)
    are_in_use: NDArray[np.bool_] = shares >= _LEAST_RESIDENT
    return are_in_use

"""Ports for what tests start: none that a system gives out by chance, so that a restart finds its own."""

from __future__ import annotations

import os
import socket
from itertools import count

LOWEST, SPAN = 20_000, 12_000
"""Below what systems give to connections and to port 0: from 32,768 on Linux, from 49,152 elsewhere."""
APART = 997
"""Processes that run tests beside each other begin so far apart."""
_numbers = count(os.getpid() * APART)


def free_port() -> int:
    """Return a port on which nobody listens, another one each time."""
    for number in _numbers:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("", LOWEST + number % SPAN))
            except OSError:
                continue
            return LOWEST + number % SPAN
    raise AssertionError("there is always another number")

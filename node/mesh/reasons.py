"""What went wrong with a websocket, in plain words: what a peer wrote of it itself is left out."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Final

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from node.mesh.ports import OTHER_NETWORK

OTHER_NETWORK_CODE: Final = 4001
"""Close code to somebody whose first bytes do not open (docs/protocol.md section 3)."""
NORMAL_CODE: Final = 1000
_SAID: Final = {
    errno.ECONNREFUSED: "refused: nothing listens there",
    errno.EHOSTUNREACH: "no way to that host",
    errno.ENETUNREACH: "no way to that network",
    errno.ETIMEDOUT: "no answer",
    errno.ECONNRESET: "cut off by the other side",
}
_OTHER_HOST: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, whose words name the host."""
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def close_code(reason: str) -> int:
    """Return the websocket close code that tells the other side why we close."""
    return OTHER_NETWORK_CODE if reason == OTHER_NETWORK else NORMAL_CODE


def why_closed(fault: Exception) -> str:
    """Return why a link that stood is gone."""
    if not isinstance(fault, ConnectionClosed):
        return why_failed(fault)
    if fault.rcvd is None:
        return "the connection broke"
    code = fault.rcvd.code
    if code == OTHER_NETWORK_CODE:
        return OTHER_NETWORK
    return "closed by the peer" if code == NORMAL_CODE else f"closed by the peer ({code})"


def why_failed(fault: Exception) -> str:
    """Return why a dial came to nothing."""
    match fault:
        case ssl.SSLCertVerificationError():
            told = (
                "it is made out to another host" if fault.verify_code in _OTHER_HOST else fault.verify_message
            )
            return f"its certificate is not trusted: {told}"
        case ssl.SSLError():
            return f"TLS failed: {(fault.reason or 'unknown').replace('_', ' ').lower()}"
        case socket.gaierror():
            return "no such host is known"
        case TimeoutError():
            return "no answer"
        case InvalidStatus():
            return f"no node there: HTTP status {fault.response.status_code}"
        case WebSocketException():
            return "no node there: it speaks no websocket"
        case OSError():
            return _of_system(fault)
        case _:
            return f"cannot be dialled: {type(fault).__name__}"


def _of_system(fault: OSError) -> str:
    """Say what the system said; of several addresses tried, of the first."""
    number = fault.errno
    if number is None:
        found = _NUMBER.search(str(fault))
        number = int(found[1]) if found else None
    if number is None:
        return "cut off by the other side" if isinstance(fault, ConnectionError) else "the connection failed"
    return _SAID.get(number) or os.strerror(number).lower()

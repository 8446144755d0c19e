"""The codes that websockets of frontends are closed with (docs/bridge.md section 4; RFC 6455, 7.4)."""

from __future__ import annotations

from typing import Final

GOING_WRONG: Final = 1011
"""The node cannot go on with this connection; its log says why."""
RESTARTING: Final = 1012
NO_ROOM: Final = 1013
"""Too many frontends are connected."""
NO_CREDENTIAL: Final = 3002
"""Of the events protocol."""
SLOW: Final = 4008
BAD_FRAMES: Final = 4400
UNAUTHORIZED: Final = 4401
"""No good token, or no longer."""
ORIGIN_GONE: Final = 4403
NO_HELLO: Final = 4408

"""The groups protocol: frames `{type, data}` over a websocket at `/ws` (docs/dialects/groups_001.md)."""

from node.bridge.dialects.groups_001.frontend import Groups as Groups
from node.bridge.dialects.groups_001.spelling import Spelling as Spelling

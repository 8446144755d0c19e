"""How frontends talk to the node; pure but for server.py (docs/bridge.md)."""

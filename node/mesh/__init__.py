"""How envelopes travel between nodes; pure but for transport.py (docs/protocol.md)."""

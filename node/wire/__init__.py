"""Every byte that leaves this process, defined once; pure (docs/protocol.md)."""

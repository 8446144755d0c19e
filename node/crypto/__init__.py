"""Bytes in, bytes out: keys, boxes, ratchets, epochs; pure (docs/crypto.md)."""

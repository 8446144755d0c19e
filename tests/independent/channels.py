"""Channels, envelopes and Objects: docs/crypto.md 3.3, protocol.md 2."""

from __future__ import annotations

from tests.independent.boxes import box_open, box_seal
from tests.independent.curves import ed25519_public
from tests.independent.notation import h, holds, kdf, sig, u32, u64
from tests.independent.spelling import write

SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768)


def channel_secret(kind: str, inputs: dict[str, bytes]) -> bytes:
    """Return CS of a channel by the table of 3.3."""
    match kind:
        case "room":
            return kdf("chan", inputs["epoch_secret"], inputs["epoch_id"])
        case "dm":
            return kdf("chandm", inputs["rk0"], inputs["transcript"])
        case "inbox":
            return h("inbox", inputs["intro_pub"])
        case "join":
            return kdf("join", inputs["invite_seed"], b"")
        case "presence":
            return inputs["random"]
        case "directory":
            return h("dir", h("net", inputs["network_secret"]))
        case _:
            raise ValueError(kind)


def outer_key(secret: bytes) -> bytes:
    return kdf("outer", secret, b"")


def posting_seed(secret: bytes, day: int) -> bytes:
    return kdf("post", secret, u32(day))


def seal(secret: bytes, inner: bytes, kind: int, ts_ms: int, ttl_days: int, nonce: bytes) -> bytes:
    size = next(size for size in SIZES if len(inner) < size)
    seed = posting_seed(secret, ts_ms // 86_400_000)
    head = bytes([1, kind]) + u64(ts_ms) + bytes([ttl_days]) + ed25519_public(seed)
    body = nonce + box_seal((inner + b"\x80").ljust(size, b"\0"), nonce, outer_key(secret))
    return head + sig("env", seed, head + body) + body


def open_envelope(secret: bytes, envelope: bytes) -> bytes:
    """Return the inner of an envelope of this channel, its signature verified."""
    head, signature, body = envelope[:43], envelope[43:107], envelope[107:]
    day = int.from_bytes(head[2:10]) // 86_400_000
    public = head[11:43]
    if public != ed25519_public(posting_seed(secret, day)) or not holds(
        "env", public, head + body, signature
    ):
        raise ValueError("not of this channel")
    padded = box_open(body[24:], body[:24], outer_key(secret))
    return padded[: padded.rindex(b"\x80")]


def parts(content: bytes) -> list[bytes]:
    """Return the inners that carry an Object."""
    step, name = 24_576, h("obj", content)
    chunks = [content[at : at + step] for at in range(0, len(content), step)]
    return [write([7, name, at, len(chunks), chunk]) for at, chunk in enumerate(chunks)]

"""The order of what newcomers are given: what was signed decides, before any clock."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.chat.history import Told, arrange
from node.crypto.roommsg import Core, Kind
from node.wire.payload import Payload, Type


def told(mid: int, *, ts_ms: int, device: int = 0, index: int = 0, refs: tuple[int, ...] = ()) -> Told:
    core = Core(Kind.MESSAGE, bytes(16), bytes(16), bytes([device]) * 16, index, bytes(16), bytes(16))
    named = tuple(bytes([ref]) * 16 for ref in refs)
    payload = Payload(bytes([mid]) * 16, ts_ms, 1, Type.TEXT, ["", "text", None], refs_before=named)
    return Told(None, core, payload, b"")  # type: ignore[arg-type]


def mids(items: list[Told]) -> list[int]:
    return [one.payload.mid[0] for one in items]


def test_clocks_order_what_nothing_else_does() -> None:
    items = [told(n, ts_ms=10 - n, device=n) for n in range(5)]
    assert mids(arrange(items)) == [4, 3, 2, 1, 0]


def test_what_a_message_refers_to_comes_before_it_whatever_the_clocks_say() -> None:
    items = [told(1, ts_ms=5, device=1, refs=(2,)), told(2, ts_ms=9, device=2, refs=(3,)), told(3, ts_ms=99)]
    assert mids(arrange(items)) == [3, 2, 1]


def test_a_device_speaks_in_the_order_of_its_indexes() -> None:
    items = [told(1, ts_ms=5, index=8), told(2, ts_ms=9, index=2), told(3, ts_ms=7, index=5)]
    assert mids(arrange(items)) == [2, 3, 1]


def test_references_in_a_circle_lose_nothing() -> None:
    items = [told(1, ts_ms=5, device=1, refs=(2,)), told(2, ts_ms=9, device=2, refs=(1,)), told(3, ts_ms=7)]
    assert mids(arrange(items)) == [3, 1, 2]


@given(st.permutations(range(8)))
def test_the_order_does_not_depend_on_how_they_came(order: list[int]) -> None:
    items = [
        told(n, ts_ms=n * 7 % 5, device=n % 3, index=n, refs=(n - 3,) if n > 4 else ()) for n in range(8)
    ]
    assert mids(arrange([items[at] for at in order])) == mids(arrange(items))

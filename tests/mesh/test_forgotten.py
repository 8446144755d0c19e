"""Ids that come and are forgotten again and again cost nothing but themselves."""

from __future__ import annotations

import pytest

from node.mesh import index
from node.mesh.index import Index


def name(number: int) -> bytes:
    return number.to_bytes(16, "big") * 2


def test_ids_that_are_taken_out_early_leave_no_expiries_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SPARE", 16)
    known = Index([(name(n), n, 1_000 + n) for n in range(10)])
    for _ in range(50):
        for n in range(100, 120):
            known.add(name(n), n, 2_000)
        known.forget(name(n) for n in range(100, 120))
        assert len(known._expiry) <= 2 * len(known) + 16
    known.add(name(100), 100, 2_000)
    known.expire(1_004)
    assert len(known) == 6
    known.expire(2_000)
    assert len(known) == 0

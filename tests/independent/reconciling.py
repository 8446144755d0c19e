"""Negentropy V1 once more, from the specification alone: lists, sets and strings, slow and plain.

A side is a list of (time, id). A message is hex text. `ours` cuts a range that is not large into parts of 16,
and has the opener say fingerprints only, as docs/protocol.md section 6 says that Gossamer does; without it
every range is cut into 16, and either says few ids, as the reference implementations do. Both are negentropy
V1: who reads a message need not know how its writer cuts.
"""

from __future__ import annotations

from hashlib import sha256

NEVER = 2**64 - 1


def number(value: int) -> str:
    text = ""
    last = True
    while True:
        digit = value % 128
        text = f"{digit if last else digit + 128:02x}" + text
        value, last = value // 128, False
        if value == 0:
            return text


def mark(ids: list[str]) -> str:
    total = sum(int.from_bytes(bytes.fromhex(one), "little") for one in ids) % 2**256
    return sha256(total.to_bytes(32, "little") + bytes.fromhex(number(len(ids)))).hexdigest()[:32]


def prefix_between(before: str, after: str) -> str:
    size = 2
    while before.startswith(after[:size]):
        size += 2
    return after[:size]


class Side:
    def __init__(self, items: list[tuple[int, str]], *, limit: int = 0, ours: bool = True) -> None:
        self.items = sorted(items)
        self.limit, self.ours = limit, ours
        self.have: set[str] = set()
        self.need: set[str] = set()
        self.opened = False

    def within(self, low: tuple[int, str], high: tuple[int, str]) -> list[tuple[int, str]]:
        return [item for item in self.items if low <= item < high]

    def open(self, until: tuple[int, str] = (NEVER, "")) -> str:
        self.opened = True
        return self.spell(self.cut((0, ""), until))

    def cut(self, low: tuple[int, str], high: tuple[int, str]) -> list[tuple[tuple[int, str], str, object]]:
        inside = self.within(low, high)
        if self.ours and self.opened and 0 < len(inside) < 32:
            return [(high, "mark", mark([one for _, one in inside]))]
        if len(inside) < 32:
            return [(high, "ids", [one for _, one in inside])]
        parts = len(inside) // 16 if self.ours and len(inside) <= 512 else 16
        edges = [len(inside) * part // parts for part in range(parts + 1)]
        if not self.ours:  # the first parts take what is left over
            size, more = divmod(len(inside), parts)
            edges = [part * size + min(part, more) for part in range(parts + 1)]
        said: list[tuple[tuple[int, str], str, object]] = []
        for part in range(parts):
            bound = high if part == parts - 1 else self.bound_at(inside, edges[part + 1])
            said.append((bound, "mark", mark([one for _, one in inside[edges[part] : edges[part + 1]]])))
        return said

    @staticmethod
    def bound_at(inside: list[tuple[int, str]], spot: int) -> tuple[int, str]:
        (ts_before, before), (ts, after) = inside[spot - 1], inside[spot]
        return (ts, "") if ts != ts_before else (ts, prefix_between(before, after))

    @staticmethod
    def spell(said: list[tuple[tuple[int, str], str, object]]) -> str:
        text, at = "61", 0
        while said and said[-1][1] == "skip":
            said = said[:-1]
        for spot, ((ts, prefix), kind, what) in enumerate(said):
            if kind == "skip" and said[spot + 1][1] == "skip":
                continue
            text += number(0) if ts == NEVER else number(ts - at + 1)
            text += number(len(prefix) // 2) + prefix
            at = ts
            if kind == "skip":
                text += number(0)
            elif kind == "mark":
                text += number(1) + str(what)
            else:
                assert isinstance(what, list)
                text += number(2) + number(len(what)) + "".join(what)
        return text

    @staticmethod
    def read(text: str) -> list[tuple[tuple[int, str], str, object]]:
        rest = list(bytes.fromhex(text))
        assert rest.pop(0) == 0x61
        at, found = 0, list[tuple[tuple[int, str], str, object]]()

        def take_number() -> int:
            value = 0
            while True:
                digit = rest.pop(0)
                value = value * 128 + digit % 128
                if digit < 128:
                    return value

        def take(size: int) -> str:
            taken = bytes(rest[:size])
            assert len(taken) == size
            del rest[:size]
            return taken.hex()

        while rest:
            step = take_number()
            at = NEVER if step == 0 else at + step - 1
            prefix = take(take_number())
            match take_number():
                case 0:
                    found.append(((at, prefix), "skip", None))
                case 1:
                    found.append(((at, prefix), "mark", take(16)))
                case 2:
                    found.append(((at, prefix), "ids", [take(32) for _ in range(take_number())]))
                case other:
                    raise AssertionError(other)
        return found

    def hear(self, text: str) -> str | None:
        """Return what to say; None if this side opened and there is nothing left to ask."""
        said: list[tuple[tuple[int, str], str, object]] = []
        low = (0, "")
        ranges = self.read(text)
        for high, kind, what in ranges:
            inside = [one for _, one in self.within(low, high)]
            answer: list[tuple[tuple[int, str], str, object]] = [(high, "skip", None)]
            if kind == "mark" and what != mark(inside):
                answer = self.cut(low, high)
            elif kind == "ids":
                assert isinstance(what, list)
                if self.opened:
                    self.have |= set(inside) - set(what)
                    self.need |= set(what) - set(inside)
                else:
                    answer = [(high, "ids", inside)]
            if self.limit and len(self.spell(said + answer)) // 2 > self.limit - 64:
                end = max(bound for bound, kind, _ in ranges if kind != "skip")
                said += self.as_much(answer, low, len(self.spell(said)) // 2, end)
                break
            said += answer
            low = high
        spelt = self.spell(said)
        return None if self.opened and spelt == "61" else spelt

    def as_much(
        self,
        answer: list[tuple[tuple[int, str], str, object]],
        low: tuple[int, str],
        used: int,
        end: tuple[int, str],
    ) -> list[tuple[tuple[int, str], str, object]]:
        """The first ids of a list that does not fit, and one fingerprint of all that comes later."""
        told: list[tuple[tuple[int, str], str, object]] = []
        (high, kind, _), inside = answer[0], self.within(low, answer[0][0])
        fits = (self.limit - used - 160) // 32
        if kind == "ids" and len(answer) == 1 and 0 < fits < len(inside):
            high = self.bound_at(inside, fits)
            told, low = [(high, "ids", [one for _, one in inside[:fits]])], high
        return [*told, (end, "mark", mark([one for _, one in self.within(low, end)]))]

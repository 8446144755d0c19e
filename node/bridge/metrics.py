"""What the node counts and measures, as Prometheus reads it: no name, id or address of anybody.

Figures are facts about amounts; the only words among them are names of commands, error codes and states,
which are the same on every node (docs/bridge.md section 5, "Metrics").
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from node.bridge.outbox import Outbox

Kind: TypeAlias = Literal["counter", "gauge"]
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: upper ends of a histogram's buckets."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One family: its name without `gossamer_`, what it says, and its values by labels."""

    name: str
    help: str
    kind: Kind
    values: tuple[tuple[tuple[tuple[str, str], ...], float], ...]


def gauge(name: str, text: str, value: float) -> Figure:
    """Return a figure of one value that goes up and down."""
    return Figure(name, text, "gauge", (((), value),))


def counter(name: str, text: str, value: float) -> Figure:
    """Return a figure of one value that only grows."""
    return Figure(name, text, "counter", (((), value),))


def counters(
    name: str, text: str, labels: tuple[str, ...], counted: Mapping[Any, int], kind: Kind = "counter"
) -> Figure:
    """Return a figure of many values, a label each for the parts of their keys."""
    rows = ((tuple(zip(labels, key, strict=True)), float(n)) for key, n in sorted(counted.items()))
    return Figure(name, text, kind, tuple(rows))


class Histogram:
    """How long something took, in buckets."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.help = name, text
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def lines(self) -> Iterable[str]:
        """Write it as Prometheus reads it."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            yield f'gossamer_{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"gossamer_{self.name}_sum {self._sum:.6f}"
        yield f"gossamer_{self.name}_count {total}"


Shown: TypeAlias = Figure | Histogram


class Meter:
    """What the bridge counts."""

    def __init__(self) -> None:
        self.commands: Counter[tuple[str, ...]] = Counter()
        self.refused: Counter[tuple[str, ...]] = Counter()
        self.seconds = Histogram("command_seconds", "From a command to its answer.")

    def figures(self) -> list[Shown]:
        """Return what was counted."""
        return [
            counters("commands_total", "Commands answered.", ("command", "code"), self.commands),
            counters("refused_requests_total", "Requests that the guard refused.", ("code",), self.refused),
            self.seconds,
        ]


class Attached(Protocol):
    """What is counted of a frontend."""

    @property
    def phase(self) -> str:
        """Where the connection is."""
        ...

    @property
    def outbox(self) -> Outbox:
        """What waits for it."""
        ...


def attached(frontends: Collection[Attached], backlog: int) -> list[Shown]:
    """Return the figures of those who are connected; `backlog`: commands that wait for the engine."""
    phases = Counter((one.phase,) for one in frontends)
    boxes = [one.outbox for one in frontends]
    return [
        counters("sessions", "Connections of frontends.", ("phase",), phases, "gauge"),
        gauge("bridge_backlog", "Commands that wait for the engine.", backlog),
        gauge("outbox_events", "Frames that wait for frontends.", sum(map(len, boxes))),
        gauge("outbox_bytes", "Bytes of them.", sum(box.bytes for box in boxes)),
    ]


def render(figures: Iterable[Shown]) -> str:
    """Return the text exposition format."""
    lines: list[str] = []
    for figure in figures:
        kind = "histogram" if isinstance(figure, Histogram) else figure.kind
        lines += [f"# HELP gossamer_{figure.name} {figure.help}", f"# TYPE gossamer_{figure.name} {kind}"]
        if isinstance(figure, Histogram):
            lines += figure.lines()
        else:
            lines += [_line(figure.name, labels, value) for labels, value in figure.values]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: tuple[tuple[str, str], ...], value: float) -> str:
    within = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"gossamer_{name}{'{' + within + '}' if within else ''} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

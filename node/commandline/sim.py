"""`gossamer sim`: a mesh of thousands on a virtual clock, and its figures; needs no running node.

What is modelled, and what each option and each figure means, is on docs/simulator.md.
"""

from __future__ import annotations

import gc
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields as fields_of, replace
from typing import Any

import click

from node.commandline.app import DONE, INTERRUPTED, App, Command, current_app
from node.commandline.output import fields, heading, table
from node.commandline.served import Wanted, serve
from node.config import BRIDGE_PORT, MAX_PORT, Endpoint
from node.sim_mesh.play import Play, Progress
from node.sim_mesh.scenario import PRESETS, Scenario, check

SAY_EVERY = 2.0  # seconds of this machine between two lines of progress
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?(ms|s)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)")


class _Read(click.ParamType):  # type: ignore[type-arg] # generic for the checker alone, in some versions
    """An option's text by a function that raises ValueError with what was meant."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means; a usage error if nothing."""
        try:
            return self._read(value) if isinstance(value, str) else value
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


def seconds(text: str) -> float:
    """Read `200ms`, `1.5s` or `2m`; raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time: 200ms, 30s or 2m is meant")
    return float(found[1]) * _UNITS[found[2]]


def span_of(text: str) -> tuple[float, float]:
    """Read `10-50ms`, or `20ms` for links that are all alike; raises ValueError."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no latency: 10-50ms or 20ms is meant")
    low, high = float(found[1]), float(found[2] or found[1])
    if low > high:
        raise ValueError(f"{text!r}: the smaller one comes first")
    return low * _UNITS[found[3]], high * _UNITS[found[3]]


def share(text: str) -> float:
    """Read `20%` or `0.2`; raises ValueError."""
    found = _SHARE.fullmatch(text)
    value = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= value < 1:
        raise ValueError(f"{text!r} is no share: 20% or 0.2 is meant, less than all")
    return value


_SECONDS, _SPAN, _PART = _Read("time", seconds), _Read("latency", span_of), _Read("share", share)


@click.command(cls=Command)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Settings that have a name.")
@click.option("--nodes", type=int, metavar="N", help="How many nodes; sybils are among them.")
@click.option("--degree", type=int, metavar="N", help="Links a node has; it dials half of them.")
@click.option("--latency", type=_SPAN, metavar="LOW-HIGH", help="Of links, one way: 10-50ms.")
@click.option("--jitter", type=_SECONDS, metavar="TIME", help="Added to it at most, each time.")
@click.option("--loss", type=_PART, metavar="SHARE", help="Messages of links that TCP has to send twice.")
@click.option("--rooms", type=int, metavar="N", help="Channels that the messages are of.")
@click.option("--senders", type=int, metavar="N", help="Nodes that send in turn.")
@click.option("--messages", type=int, metavar="N", help="Messages that count.")
@click.option("--rate", type=float, metavar="N", help="Messages a second.")
@click.option("--size", type=int, metavar="BYTES", help="Of what is sealed in an envelope.")
@click.option("--warmup", type=int, metavar="N", help="Messages before those that count.")
@click.option("--kill", type=_PART, metavar="SHARE", help="Nodes that are killed at one moment.")
@click.option("--damage-after", type=_SECONDS, metavar="TIME", help="When, after the first message.")
@click.option("--silent/--no-silent", default=None, help="The machines of killed nodes fall silent too.")
@click.option("--churn", type=_PART, metavar="SHARE", help="Nodes that leave each second, and come back.")
@click.option("--churn-after", type=_SECONDS, metavar="TIME", help="When, after the kill or partition.")
@click.option("--churn-for", type=_SECONDS, metavar="TIME", help="How long that goes on.")
@click.option("--away", type=_SECONDS, metavar="TIME", help="How long one is away, about.")
@click.option("--partition", type=_SECONDS, metavar="TIME", help="How long two halves are parted.")
@click.option("--sybils", type=int, metavar="N", help="Nodes that take and never pass on.")
@click.option("--introduced", type=int, metavar="N", help="More addresses that each node knows.")
@click.option("--overlay/--no-overlay", default=None, help="Whether nodes link up with whom they hear of.")
@click.option("--crypto", type=click.Choice(["declared", "real"]), help="Whether secrets are kept.")
@click.option("--patience", type=_SECONDS, metavar="TIME", help="How long what is missing is waited for.")
@click.option("--seed", metavar="TEXT", help="The same seed gives the same figures.")
@click.option("--bridge", is_flag=True, help="Serve one node with scripted friends to frontends instead.")
@click.option("--port", type=click.IntRange(0, MAX_PORT), metavar="N", help="With --bridge: its port. [7117]")
@click.option("--pace", type=click.FloatRange(0.1, 100), metavar="N", help="With --bridge: seconds in one.")
@click.option(
    "--origin", "origins", multiple=True, metavar="URL", help="With --bridge: pages that may attach."
)
def sim(preset: str | None, crypto: str | None, bridge: bool, **asked: Any) -> int:
    """Simulate a mesh of up to thousands of nodes and print figures; needs no running node.

    Times are virtual: 1,000 nodes take a minute or two. Ctrl-C ends it and prints what there is.
    """
    app = current_app()
    port, pace, origins = asked.pop("port"), asked.pop("pace"), asked.pop("origins")
    chosen = {name: value for name, value in asked.items() if value is not None}
    if bridge:
        if preset or crypto or chosen.keys() - {"seed"}:
            raise click.UsageError("--bridge takes --seed, --port, --pace and --origin alone")
        at = Endpoint("127.0.0.1", BRIDGE_PORT if port is None else port, given=port is not None)
        return serve(app, Wanted(chosen.get("seed", "1"), at, 1.0 if pace is None else pace, origins))
    if origins or port is not None or pace is not None:
        raise click.UsageError("--port, --pace and --origin are of --bridge")
    if crypto is not None:
        chosen["real"] = crypto == "real"
    scenario = replace(PRESETS[preset or "w3"], **chosen)
    check(scenario)
    row, interrupted = run(scenario, app)
    app.emit({**row, "scenario": as_row(scenario)}, shown(row))
    return INTERRUPTED if interrupted else DONE


def run(scenario: Scenario, app: App | None = None) -> tuple[dict[str, Any], bool]:
    """Play a scenario and return its figures with what it took, and whether Ctrl-C ended it."""
    started = time.monotonic()
    play = Play(scenario)
    interrupted = False
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)  # a node's parts live as long as the run: looking for cycles is vain
    try:
        for step in _paced(play.steps()):
            if app is not None:
                app.say(line(step))
    except KeyboardInterrupt:
        interrupted = True
        if app is not None:
            app.say("interrupted: what follows is of the run so far")
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    took = round(time.monotonic() - started, 2)
    row = play.figures().row()
    return {**row, "interrupted": interrupted, "wall_s": took, "peak_mib": peak_mib()}, interrupted


def _paced(steps: Iterator[Progress]) -> Iterator[Progress]:
    """Of all steps one every two seconds, and each beginning of a stage."""
    said, stage = 0.0, ""
    for step in steps:
        now = time.monotonic()
        if step.stage != stage or now >= said + SAY_EVERY:
            said, stage = now, step.stage
            yield step


def line(step: Progress) -> str:
    """Return how far a run is, in words."""
    told = f"{step.said} of {step.messages} messages, {step.deliveries:,} deliveries"
    return f"{step.time:7.1f} s  {step.stage}: {told}"


def peak_mib() -> int:
    """The most memory that this process has had, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def as_row(scenario: Scenario) -> dict[str, Any]:
    """Return what was asked as data, in seconds and shares."""
    return {field.name: getattr(scenario, field.name) for field in fields_of(scenario)}


def shown(row: dict[str, Any]) -> list[str]:
    """Return the figures as the lines of tables."""
    lines = fields((name, value) for name, value in row.items() if name not in ("phases", "frames"))
    sent = [f"{name} {number:,}" for name, number in row["frames"].items()]
    lines += ["", "frames sent: " + ", ".join(sent)]
    if row["phases"]:
        heads = list(row["phases"][0])
        lines += ["", *table(heads, ([phase[head] for head in heads] for phase in row["phases"]), heading)]
    return lines

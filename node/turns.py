"""What the engine has made of some inputs, from their handling to the disk and from there to everybody.

The order is the rule of docs/architecture.md, "One shape everywhere": what stands ahead of the first write
leaves for peers before the commit, all else when it is on disk: peers first, then frontends, each in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.bridge.ports import CommandReceived
from node.engine.effects import Effect, Input, Persist
from node.mesh.ports import CloseLink, Dial, PauseReading, SendBytes
from node.store.records import Write

_FOR_PEERS = (SendBytes, CloseLink, PauseReading, Dial)


@dataclass(slots=True)
class Turn:
    """Inputs that share a commit, and what they have caused."""

    inputs: list[Input] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    done: list[tuple[Input, list[Effect]]] = field(default_factory=list)
    early: list[Effect] = field(default_factory=list)
    late: list[Effect] = field(default_factory=list)
    others: list[Effect] = field(default_factory=list)

    def took(self, event: Input, caused: list[Effect]) -> None:
        """The engine has had an input."""
        self.inputs.append(event)
        self.effects += caused
        self.done.append((event, caused))

    def said(self, messages: Sequence[CommandReceived], caused: list[Effect]) -> None:
        """The engine has had messages of frontends together; whose are not stored is asked again."""
        self.inputs += messages
        self.effects += caused

    def writes(self) -> list[Write]:
        """Return what to commit."""
        return [write for effect in self.effects if isinstance(effect, Persist) for write in effect.writes]

    def sort(self) -> None:
        """Part the effects: what peers get before the commit, what they get after it, what follows then."""
        first = (at for at, effect in enumerate(self.effects) if isinstance(effect, Persist))
        wait = next(first, len(self.effects))
        self.early = [effect for effect in self.effects[:wait] if isinstance(effect, _FOR_PEERS)]
        self.late = [effect for effect in self.effects[wait:] if isinstance(effect, _FOR_PEERS)]
        self.others = [effect for effect in self.effects if not isinstance(effect, _FOR_PEERS)]

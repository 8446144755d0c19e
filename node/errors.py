"""Every exception this project raises on purpose, split by what the shell does about it.

`code` is the stable name that docs/errors.md lists and that frontends and scripts rely on.
"""

from __future__ import annotations

import shlex


class NodeError(Exception):
    """Raised on purpose; `code` is the stable name that docs/errors.md and frontends use."""

    code = "internal"


class PeerFault(NodeError):
    """A peer broke the protocol. Shell: drop the bytes, lower the peer's score; nothing has changed."""

    code = "bad_peer"


class DecodeError(PeerFault):
    """Bytes are not the one well-formed spelling of what they claim to be."""

    code = "bad_frame"


class CryptoFault(PeerFault):
    """A signature, box or commitment did not hold, or a public key was not usable."""

    code = "bad_crypto"


class Refused(NodeError):
    """A frontend asked for what it may not have. Shell: answer `error` with `code`; nothing has changed."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        **extra: object,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.retryable = retryable
        self.retry_after = retry_after
        self.extra = extra


def extra_missing(code: str, what: str, package: str, python: str, field: str | None = None) -> Refused:
    """Return the refusal where a package that few need is not there, with the line that brings it."""
    line = f"{shlex.quote(python)} -m pip install {package}"
    return Refused(code, f"{what} needs one more package:  {line}", field=field)


class Fatal(NodeError):
    """This node cannot go on safely. Shell: say why, stop, exit with `exit_code` (docs/operations.md)."""

    code = "fatal"

    def __init__(self, message: str, *, code: str = "fatal", exit_code: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code


class StoreFull(NodeError):
    """The disk did not take a commit, now rolled back. Shell: answer with `code`, try again later."""

    code = "storage_full"

"""What every command shares: the global options, where output goes, and what the process exits with.

The contract is docs/operations.md: data on stdout, talk on stderr, `--json` one object a line, no ANSI
when piped, the global options before and after the command, exit codes 0 to 7.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from node.commandline.output import as_json, harmless, only_ours
from node.config import home_of, suggest
from node.errors import Fatal, NodeError, Refused
from node.store.files import NO_ROOM

DONE, FAILED, USAGE, NOT_RUNNING, NOT_ALLOWED, TIMED_OUT, NOT_FOUND, CONFLICT = range(8)
SHORT_HELP = 160  # characters of a command's sentence in the list of commands: the longest is shown whole
INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended

_COMMAND: Final = re.compile(r"(?<![\w/.-])gossamer (?=[a-z])(?!run --relay)")  # a relay is another machine's
_EXIT: Final[Mapping[str, int]] = {
    "not_running": NOT_RUNNING,
    "connection_lost": NOT_RUNNING,
    "forbidden": NOT_ALLOWED,
    "unauthorized": NOT_ALLOWED,
    "scope": NOT_ALLOWED,
    "locked": NOT_ALLOWED,
    "wrong_passphrase": NOT_ALLOWED,
    "not_a_contact": NOT_ALLOWED,
    "not_a_member": NOT_ALLOWED,
    "blocked": NOT_ALLOWED,
    "key_changed": NOT_ALLOWED,
    "code_mismatch": CONFLICT,
    "timeout": TIMED_OUT,
    "unknown_event": USAGE,
    "not_supported": FAILED,
    "no_open_invite": NOT_FOUND,
    "not_found": NOT_FOUND,
    "not_enabled": NOT_FOUND,
    "no_index": NOT_FOUND,
    "conflict": CONFLICT,
    "direct_room": CONFLICT,
    "room_deleted": CONFLICT,
    "message_deleted": CONFLICT,
    "invite_expired": CONFLICT,
    "invite_resolved": CONFLICT,
    "home_locked": CONFLICT,
}
_EXIT_BY_START: Final[Mapping[str, int]] = {
    "unknown_": NOT_FOUND,
    "ambiguous": CONFLICT,
    "already_": CONFLICT,
    "invalid": USAGE,
    "bad_": USAGE,
    "not_": NOT_ALLOWED,
    "timeout": TIMED_OUT,
}
_EXIT_BY_END: Final[Mapping[str, int]] = {
    "_not_found": NOT_FOUND,
    "_unknown": NOT_FOUND,
    "_exists": CONFLICT,
    "_taken": CONFLICT,
    "_timeout": TIMED_OUT,
    "_not_allowed": NOT_ALLOWED,
    "_forbidden": NOT_ALLOWED,
    "_denied": NOT_ALLOWED,
}


def exit_code(code: str) -> int:
    """Return what the process exits with for an error `code` of the bridge or of the command line."""
    if code in _EXIT:
        return _EXIT[code]
    for end, value in _EXIT_BY_END.items():
        if code.endswith(end):
            return value
    for start, value in _EXIT_BY_START.items():
        if code.startswith(start):
            return value
    return FAILED


@dataclass(slots=True)
class App:
    """The global options of one invocation, and the only way commands print."""

    home: str | None = None
    json: bool = False
    quiet: bool = False
    no_color: bool = False

    @property
    def home_dir(self) -> Path:
        """The home in force, absolute."""
        return home_of(self.home)

    @property
    def program(self) -> str:
        """What to write before a subcommand so that a printed line can be pasted as it stands."""
        name = "gossamer"
        ours = Path(sys.argv[0])
        found = shutil.which(name)
        if ours.name == name and (found is None or Path(found).resolve() != ours.resolve()):
            name = shlex.quote(str(ours))
        chosen = self.home or os.environ.get("GOSSAMER_HOME")
        return f"{name} --home {shlex.quote(str(self.home_dir))}" if chosen else name

    def ours(self, text: str) -> str:
        """Return `text` with the commands in it as they can be pasted for this home."""
        return _COMMAND.sub(lambda _: f"{self.program} ", text)

    def emit(self, value: object, lines: Iterable[str]) -> None:
        """Print data: `value` as one JSON object under `--json`, else `lines` (made harmless already)."""
        if self.json:
            click.echo(as_json(value))
            return
        for line in lines:
            click.echo(only_ours(line), color=self.colour(sys.stdout))

    def say(self, text: str) -> None:
        """Talk to the person on stderr; `--quiet` silences it."""
        if not self.quiet:
            shown = "\n".join(only_ours(line) for line in text.split("\n"))
            click.echo(shown, err=True, color=self.colour(sys.stderr))

    def colour(self, stream: Any) -> bool:
        """Say whether `stream` gets ANSI: a terminal, and neither `--no-color`, NO_COLOR nor a dumb one."""
        plain = self.no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return bool(not plain and stream.isatty())

    def fail(self, code: str, message: str, extra: Mapping[str, object] | None = None) -> None:
        """Report an error on stderr, as one JSON object under `--json`."""
        if self.json:
            click.echo(as_json({"error": {"code": code, "message": message, **(extra or {})}}), err=True)
            return
        click.echo(f"error: {harmless(message, lines=True)} ({harmless(code)})", err=True)
        for line in _candidates(extra or {}):
            click.echo(f"  {line}", err=True)


def _candidates(extra: Mapping[str, object]) -> Iterable[str]:
    """Return a line for each thing that an ambiguous name could mean."""
    listed = extra.get("candidates")
    for item in listed if isinstance(listed, list | tuple) else ():
        words = item.values() if isinstance(item, Mapping) else (item,)
        yield "  ".join(harmless(str(word)) for word in words if word is not None)


def current_app(ctx: click.Context | None = None) -> App:
    """Return the invocation's App, made when first asked for."""
    root = (ctx or click.get_current_context()).find_root()
    if not isinstance(root.obj, App):
        root.obj = App()
    return root.obj


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value not in (None, False):
        setattr(current_app(ctx), str(param.name), value)


def _globals() -> list[click.Parameter]:
    """Return the four global options, to be taken by every group and every command."""

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, callback=_remember, expose_value=False, is_eager=True, **more)

    return [
        option("--home", metavar="DIR", help="The node's home directory."),
        option("--json", is_flag=True, help="Print JSON, one object a line."),
        option("--quiet", is_flag=True, help="No talk on stderr but errors."),
        option("--no-color", is_flag=True, help="No colour, also on a terminal."),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def get_short_help_str(self, limit: int = SHORT_HELP) -> str:
        """Return the first sentence of the help."""
        return super().get_short_help_str(max(limit, SHORT_HELP))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, then the global ones."""
        return [*super().get_params(ctx), *_globals()]


class Group(click.Group):
    """A group that takes the global options, names the likely command, and loads commands when used."""

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        """Take `lazy`: command name to `module:attribute`, imported when the command is looked up."""
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def get_short_help_str(self, limit: int = SHORT_HELP) -> str:
        """Return the first sentence of the help."""
        return super().get_short_help_str(max(limit, SHORT_HELP))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own parameters, then the global ones."""
        return [*super().get_params(ctx), *_globals()]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order they were given: related ones stand together."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, importing its module now if need be."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` starts with; an unknown one is a usage error with a suggestion."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = tuple(self.list_commands(ctx))
            raise click.UsageError(f"there is no command {args[0]!r}{suggest(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)


def invoke(group: click.Group, args: list[str] | None = None) -> int:
    """Run `group` on the process's arguments (or `args`) and return the exit code; raises nothing."""
    app, stdout = App(), sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter shows its number
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):  # what is not UTF-8 is refused where it would be sent
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        result = group.main(args, prog_name="gossamer", standalone_mode=False, obj=app)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as exc:
        return _usage(app, exc)
    except NodeError as exc:
        app.fail(exc.code, app.ours(str(exc)), getattr(exc, "extra", None))
        return exc.exit_code if isinstance(exc, Fatal) else exit_code(exc.code)
    except OSError as exc:
        return _system(app, exc)
    except SystemExit:  # click's, which takes the stream away where its reader left: that has what it wanted
        if sys.stdout is stdout:
            raise
        return DONE
    return result if isinstance(result, int) else DONE


def _system(app: App, fault: OSError) -> int:
    """Report what the system refuses whatever the program does; raises what is a mistake of ours."""
    path = Path(os.fsdecode(fault.filename)) if fault.filename else None
    text = f"{path or 'the output'}: {fault.strerror or fault}"
    if fault.errno in NO_ROOM:
        app.fail("storage_full", text)
        _hush()
        return FAILED
    if isinstance(fault, PermissionError):
        if path is None or app.home_dir in (path, *path.parents):  # as after a start by root
            text += f'; if the home is yours:  sudo chown -R "$(id -un)" {shlex.quote(str(app.home_dir))}'
        app.fail("home_unusable", text)
        return FAILED
    if path is not None and isinstance(fault, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        app.fail("file_not_found", text)
        return NOT_FOUND
    raise fault


def _hush() -> None:
    """Let what was not written go: the interpreter would try once more at its end, and say so."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(app: App, exc: click.ClickException) -> int:
    if isinstance(exc, click.exceptions.NoArgsIsHelpError) and not app.json:
        exc.show()  # a group alone: its help is what was meant
        return exc.exit_code
    app.fail("usage", exc.format_message())
    ctx = exc.ctx if isinstance(exc, click.UsageError) else None
    if ctx is not None and not app.json:
        click.echo(f"{ctx.get_usage()}\nmore:  {ctx.command_path} --help", err=True)
    return exc.exit_code


def duration(text: str) -> int:
    """Read `90s`, `15m`, `12h`, `7d` or `2w` as seconds; raises Refused."""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    number, unit = text[:-1], text[-1:].lower()
    if unit not in units or not number.isdecimal() or int(number) == 0:
        raise Refused("invalid", f"{text!r} is no duration: 90s, 15m, 12h, 7d or 2w is meant")
    return int(number) * units[unit]

"""`gossamer service`: the node as a service of the logged-in user, kept running by the system.

A systemd user unit (systemd.unit(5), systemd.service(5)) on Linux, a launchd agent (launchd.plist(5)) on
macOS. The unit runs the program that wrote it, with this home; it holds no secret.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from node.commandline.app import App, Group, current_app
from node.errors import Refused
from node.store import files, identity

UNIT, AGENT = "gossamer.service", "org.gossamer.node"
STOP_S = 10  # a clean stop flushes its queues for at most 5 s
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """One system's way: the file that describes the service, and what to run before and after."""

    path: Path
    text: bytes
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]


@click.group(cls=Group)
def service() -> None:
    """Your node as a service: started when you log in, again when it fails."""


@service.command("install")
@click.option("--no-start", is_flag=True, help="Only write the file.")
def install(no_start: bool) -> None:
    """Write the service's file for this home, and start it."""
    app = current_app()
    if not identity.exists(app.home_dir):
        raise Refused("not_found", f"{app.home_dir} has no identity yet: `{app.program} run` makes it, once")
    found = describe(sys.platform, Path.home(), app.home_dir, program(), dict(os.environ))
    found.path.parent.mkdir(parents=True, exist_ok=True)
    files.write_synced(found.path, found.text)
    if not no_start:
        for command in found.start:
            _run(command)
    app.emit({"path": str(found.path), "started": not no_start}, [str(found.path)])
    _advise(app)


@service.command("uninstall")
def uninstall() -> None:
    """Stop the service and remove its file; the home stays as it is."""
    app = current_app()
    found = describe(sys.platform, Path.home(), app.home_dir, program(), dict(os.environ))
    if not found.path.exists():
        raise Refused("not_found", f"no service is installed: there is no {found.path}")
    for command in found.stop:
        _run(command, patient=True)
    found.path.unlink()
    if sys.platform != "darwin":
        _run(("systemctl", "--user", "daemon-reload"), patient=True)
    app.emit({"path": str(found.path), "removed": True}, [])
    app.say(f"removed {found.path}; what the node keeps in {app.home_dir} stays")


def program() -> tuple[str, ...]:
    """Return how this program is started: its own script, or the interpreter with the module."""
    ours = Path(sys.argv[0]).resolve()
    return (
        (str(ours),) if os.access(ours, os.X_OK) and ours.suffix != ".py" else (sys.executable, "-m", "cli")
    )


def describe(
    platform: str, user: Path, home: Path, command: tuple[str, ...], environ: dict[str, str]
) -> Service:
    """Return the service of one home for `platform`; raises Refused where there is no such thing."""
    words = (*command, "--home", str(home), "run")
    if platform == "darwin":
        path = user / "Library" / "LaunchAgents" / f"{AGENT}.plist"
        domain = f"gui/{os.getuid()}"
        return Service(
            path,
            plistlib.dumps(_agent(words)),
            (("launchctl", "bootstrap", domain, str(path)),),
            (("launchctl", "bootout", f"{domain}/{AGENT}"),),
        )
    if platform == "linux":
        base = Path(environ.get("XDG_CONFIG_HOME") or user / ".config")
        control = ("systemctl", "--user")
        return Service(
            base / "systemd" / "user" / UNIT,
            _unit(words).encode(),
            ((*control, "daemon-reload"), (*control, "enable", "--now", UNIT)),
            ((*control, "disable", "--now", UNIT),),
        )
    raise Refused("not_supported", f"there is no service for {platform}: start `gossamer run` at your login")


def _unit(words: tuple[str, ...]) -> str:
    start = " ".join(_quoted(word) for word in words)
    return f"""# Written by `gossamer service install`; `gossamer service uninstall` removes it.
[Unit]
Description=Gossamer, a node for end-to-end encrypted chat

[Service]
ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
TimeoutStopSec={STOP_S}
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes

[Install]
WantedBy=default.target
"""


def _quoted(word: str) -> str:
    """Return a word as systemd reads it: quoted, and `%` and `$` for themselves (systemd.service(5))."""
    if any(ord(char) < 0x20 for char in word):
        raise Refused("invalid", f"{word!r} has control characters: a service cannot name it")
    inner = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{inner}"'


def _agent(words: tuple[str, ...]) -> dict[str, object]:
    return {
        "Label": AGENT,
        "ProgramArguments": list(words),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": STOP_S,
        "Umask": 0o077,
    }


def _run(command: tuple[str, ...], *, patient: bool = False) -> None:
    """Run a command of the system; raises Refused with what it said. `patient`: its failure is no news."""
    if shutil.which(command[0]) is None:
        if patient:
            return
        raise Refused("not_supported", f"there is no {command[0]} here: install with --no-start")
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)  # noqa: S603 - ours
    if done.returncode and not patient:
        raise Refused(
            "service_failed", f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}"
        )


def _advise(app: App) -> None:
    """Say what a service cannot do by itself: ask for a passphrase, outlive a logout."""
    if identity.exists(app.home_dir) and identity.sealed(app.home_dir):
        app.say("The keys are sealed: the service starts locked unless `passphrase_file` is set or the")
        app.say(f"system's keyring keeps the passphrase. `{app.program} unlock` opens it.")
    if sys.platform == "linux":
        app.say("It stops when you log out, unless you allow it to linger:  loginctl enable-linger")

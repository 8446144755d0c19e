"""`gossamer service`: the files that systemd and launchd read, and what happens where they are not."""

from __future__ import annotations

import plistlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node.commandline import service
from node.errors import Refused
from node.store import identity

Exits = Callable[..., tuple[int, str, str]]
AL = Path("/home/al")


def test_the_unit_runs_this_program_with_this_home_whatever_signs_are_in_it() -> None:
    found = service.describe("linux", AL, AL / 'a "b" 100%$', ("/opt/gos samer",), {})
    assert found.path == AL / ".config/systemd/user/gossamer.service"
    line = next(at for at in found.text.decode().splitlines() if at.startswith("ExecStart="))
    assert line == 'ExecStart="/opt/gos samer" "--home" "/home/al/a \\"b\\" 100%%$$" "run"'
    assert found.start[-1] == ("systemctl", "--user", "enable", "--now", "gossamer.service")


def test_the_unit_goes_where_the_user_keeps_settings() -> None:
    found = service.describe("linux", AL, AL / "h", ("g",), {"XDG_CONFIG_HOME": "/cfg"})
    assert found.path == Path("/cfg/systemd/user/gossamer.service")


def test_a_home_with_a_line_feed_cannot_smuggle_lines_into_the_unit() -> None:
    with pytest.raises(Refused):
        service.describe("linux", AL, AL / "h\nExecStartPre=/bin/x", ("g",), {})


@pytest.mark.skipif(not hasattr(service.os, "getuid"), reason="no user ids here")
def test_the_agent_of_launchd_starts_at_login_and_again_when_it_fails() -> None:
    found = service.describe("darwin", AL, AL / "h", ("/g",), {})
    agent = plistlib.loads(found.text)
    assert agent["ProgramArguments"] == ["/g", "--home", "/home/al/h", "run"]
    assert agent["RunAtLoad"] is True and agent["KeepAlive"] == {"SuccessfulExit": False}
    assert found.path.parent == AL / "Library/LaunchAgents"


def test_other_systems_are_told_what_to_do() -> None:
    with pytest.raises(Refused, match="gossamer run"):
        service.describe("plan9", AL, AL, ("g",), {})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home with an identity on a Linux whose systemctl notes what it is asked."""
    asked = tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    control = tmp_path / "bin" / "systemctl"
    control.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n[ ! -e {tmp_path}/refuse ] || {{ echo no bus >&2; exit 1; }}\n'
    )
    control.chmod(0o755)
    monkeypatch.setenv("PATH", f"{control.parent}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "cfg"))
    monkeypatch.setenv("GOSSAMER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    return asked


def test_a_service_is_installed_started_and_removed_and_the_home_stays(
    installed: Path, tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "exists", lambda _home: True)
    monkeypatch.setattr(identity, "sealed", lambda _home: True)
    code, out, err = gossamer_exits("service", "install")
    unit = tmp_path / "cfg/systemd/user/gossamer.service"
    assert (code, out) == (0, f"{unit}\n") and "starts locked" in err
    assert str(tmp_path / "home") in unit.read_text() and unit.stat().st_mode & 0o777 == 0o600
    assert installed.read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now gossamer.service",
    ]
    assert gossamer_exits("service", "uninstall")[0] == 0 and not unit.exists()
    assert "--user disable --now gossamer.service" in installed.read_text()
    assert gossamer_exits("service", "uninstall")[0] == 6


def test_what_the_system_refuses_is_said_in_its_words(
    installed: Path, tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "exists", lambda _home: True)
    (tmp_path / "refuse").touch()
    code, _, err = gossamer_exits("service", "install")
    assert code == 1 and "no bus" in err and "service_failed" in err


def test_a_home_without_an_identity_gets_no_service(installed: Path, gossamer_exits: Exits) -> None:
    code, _, err = gossamer_exits("service", "install")
    assert code == 6 and "run" in err and not installed.exists()

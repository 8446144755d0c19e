"""Commands about the vault: what is decided here; files, keys and shells are the daemon's (docs/bridge.md 2).

The daemon does them because this engine cannot: changing the passphrase reads and writes the identity file,
and locking takes the engine itself away.
"""

from __future__ import annotations

from node.bridge.ports import CommandReceived
from node.chat import commands as c
from node.chat.turn import Turn
from node.engine.desk import LATER, Answer, Desk
from node.engine.effects import LockVault, SealVault, WriteBackup
from node.errors import Refused


def vault_passphrase(desk: Desk, _turn: Turn, session: int, command: c.VaultPassphrase) -> Answer:
    """Let the shell seal the identity anew; it answers with `VaultSealed`, or refuses."""
    desk.after.append(SealVault(desk.received or CommandReceived(session, command)))
    return LATER


def backup_create(desk: Desk, _turn: Turn, session: int, command: c.BackupCreate) -> Answer:
    """Let the shell write a backup; it answers with `BackupWritten`, or refuses."""
    me = desk.state.me
    if me.replaced:
        raise Refused("device_revoked", "this account goes on at another device: make the backup there")
    desk.after.append(WriteBackup(desk.received or CommandReceived(session, command), me.profile.username))
    return LATER


def vault_lock(desk: Desk, _turn: Turn, session: int, command: c.VaultLock) -> Answer:
    """Let the shell take this engine down; it answers when the keys are gone."""
    desk.after.append(LockVault(session, command.req))
    return LATER


def vault_unlock(_desk: Desk, _turn: Turn, _session: int, _command: c.VaultUnlock) -> Answer:
    """It is open: there is an engine to ask."""
    return {"locked": False}

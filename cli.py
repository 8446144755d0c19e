"""The `gossamer` command: which commands there are and where each lives; all else is in node/commandline/."""

from __future__ import annotations

import sys

from node.commandline.app import Group, invoke

_HERE = "node.commandline"
COMMANDS = {
    "run": f"{_HERE}.run:run",
    "demo": f"{_HERE}.demo:demo",
    "status": f"{_HERE}.daily:status",
    "stop": f"{_HERE}.daily:stop",
    "call": f"{_HERE}.daily:call",
    "batch": f"{_HERE}.daily:batch",
    "contact": f"{_HERE}.contacts:contact",
    "room": f"{_HERE}.rooms:room",
    "invite": f"{_HERE}.invites:invite",
    "notification": f"{_HERE}.notices:notification",
    "announce": f"{_HERE}.notices:announce",
    "send": f"{_HERE}.chat:send",
    "message": f"{_HERE}.messages:message",
    "why": f"{_HERE}.receipts:why",
    "receipts": f"{_HERE}.receipts:receipts",
    "history": f"{_HERE}.chat:history",
    "search": f"{_HERE}.searching:search",
    "chat": f"{_HERE}.chat:chat",
    "tail": f"{_HERE}.chat:tail",
    "attachment": f"{_HERE}.attachments:attachment",
    "profile": f"{_HERE}.profile:profile",
    "presence": f"{_HERE}.profile:presence",
    "user": f"{_HERE}.profile:user",
    "peer": f"{_HERE}.owner:peer",
    "network": f"{_HERE}.network:network",
    "token": f"{_HERE}.owner:token",
    "consumer": f"{_HERE}.owner:consumer",
    "audit": f"{_HERE}.owner:audit",
    "bridge": f"{_HERE}.bridging:bridge",
    "passphrase": f"{_HERE}.vault:passphrase",
    "lock": f"{_HERE}.vault:lock",
    "unlock": f"{_HERE}.vault:unlock",
    "backup": f"{_HERE}.backups:backup",
    "service": f"{_HERE}.service:service",
    "config": f"{_HERE}.settings:config",
    "doctor": f"{_HERE}.doctor:doctor",
    "erase": f"{_HERE}.erase:erase",
    "sim": f"{_HERE}.sim:sim",
    "schema": f"{_HERE}.schema:schema",
    "completion": f"{_HERE}.daily:completion",
    "version": f"{_HERE}.daily:version",
}

gossamer = Group(
    "gossamer",
    lazy=COMMANDS,
    help="End-to-end encrypted peer-node chat: your node, your keys, any frontend.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Run one command and exit with its code (docs/operations.md)."""
    sys.exit(invoke(gossamer))


if __name__ == "__main__":
    main()

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node import __version__
from node.commandline import app
from node.commandline.daily import read_pairs
from node.errors import NodeError, Refused

from .conftest import BOB, CLUB, OFFER, Scripted

Exits = Callable[..., tuple[int, str, str]]


def test_open_rooms_are_listed_apart_with_their_names_made_harmless_and_joined_with_a_warning(
    node: Scripted, gossamer_exits: Exits
) -> None:
    square = "2a2a2a2a-0000-4000-8000-000000000009"
    row = {"room": square, "name": "sq\x1b[2Juare", "visibility": "open", "members": 12, "joined": False}
    node.answers["room_list"]["rooms"].append(row)
    code, out, _ = gossamer_exits("room", "list")
    mine, others = out.split("Open rooms of the network")
    assert code == 0 and "club" in mine and "square" not in mine
    assert "sq\\x1b[2Juare" in others and "\x1b" not in out
    notice = "an open room is confidential to nobody"
    node.answers["user_join"] = {"room": square, "name": row["name"], "state": "joining", "notice": notice}
    code, out, err = gossamer_exits("room", "join", "square")
    assert (code, out) == (0, "sq\\x1b[2Juare\n") and notice in err
    assert node.asked[-1] == ("user_join", {"room": "square"})
    assert gossamer_exits("send", "square", "hello")[0] == 6
    node.answers["room_create"] = {"room": square, "notice": notice}
    code, out, err = gossamer_exits("room", "create", "square", "--open", "--invite", "admins")
    assert (code, out) == (0, f"{square}\n") and notice in err
    assert node.asked[-1] == ("room_create", {"name": "square", "visibility": "open", "invite": "admins"})


def test_the_version_needs_no_node(gossamer_exits: Exits) -> None:
    assert gossamer_exits("version") == (0, f"gossamer {__version__}\n", "")


@pytest.mark.parametrize("words", [["--json", "version"], ["version", "--json"]])
def test_global_options_come_before_or_after(gossamer_exits: Exits, words: list[str]) -> None:
    code, out, _ = gossamer_exits(*words)
    assert (code, json.loads(out)["version"]) == (0, __version__)


@pytest.mark.parametrize(
    "words", [["--json", "room", "list"], ["room", "--json", "list"], ["room", "list", "--json"]]
)
def test_global_options_come_anywhere_in_a_group(
    node: Scripted, gossamer_exits: Exits, words: list[str]
) -> None:
    code, out, _ = gossamer_exits(*words)
    assert (code, [r["name"] for r in json.loads(out)["rooms"]]) == (0, ["club", "team"])


def test_an_unknown_command_is_a_usage_error_that_names_the_likely_one(gossamer_exits: Exits) -> None:
    code, out, err = gossamer_exits("rom", "list")
    assert (code, out) == (2, "")
    assert "did you mean 'room'" in err


def test_a_node_that_does_not_run_is_exit_3(no_node: None, gossamer_exits: Exits) -> None:
    code, out, err = gossamer_exits("status")
    assert (code, out) == (3, "")
    assert "not_running" in err


@pytest.mark.parametrize("room", ["club", "CLUB", CLUB, CLUB[:8], CLUB.upper()])
def test_a_room_is_found_by_name_id_or_first_eight(node: Scripted, gossamer_exits: Exits, room: str) -> None:
    code, out, err = gossamer_exits("send", room, "hello")
    assert (code, out, err) == (0, "m\n", "")
    assert node.asked[-1] == ("user_message", {"room": CLUB, "message": "hello"})


def test_a_room_that_is_not_there_is_exit_6(node: Scripted, gossamer_exits: Exits) -> None:
    code, _, err = gossamer_exits("send", "c1c1c1c", "seven characters are too few")
    assert code == 6
    assert "room_not_found" in err


def test_several_rooms_of_one_name_are_exit_7_with_the_list(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["room_list"]["rooms"][1]["name"] = "club"
    code, _, err = gossamer_exits("room", "show", "club")
    assert code == 7
    assert err.count("club") >= 3
    code, _, err = gossamer_exits("--json", "room", "show", "club")
    assert len(json.loads(err)["error"]["candidates"]) == 2


def test_a_message_can_come_by_standard_input(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines\n"))
    assert gossamer_exits("send", "club", "-")[0] == 0
    assert node.asked[-1][1]["message"] == "two\nlines"


def test_a_contact_link_can_come_by_standard_input(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers["contact_add"] = {"user_id": BOB, "state": "requested"}
    monkeypatch.setattr("sys.stdin", io.StringIO(" gossamer:c/abc \n"))
    code, out, _ = gossamer_exits("contact", "add", "-")
    assert (code, out) == (0, f"{BOB}  requested\n")
    assert node.asked[-1] == ("contact_add", {"link": "gossamer:c/abc"})
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert gossamer_exits("contact", "add", "-")[0] == 2


@pytest.mark.parametrize("what", ["request", "accept", "reject", "cancel", "remove", "block", "unblock"])
def test_what_is_done_about_a_contact_names_them_by_id_and_prints_how_they_stand_now(
    node: Scripted, gossamer_exits: Exits, what: str
) -> None:
    node.answers[f"contact_{what}"] = {
        "user_id": BOB,
        "username": "b\x1bob",
        "state": "none",
        "blocked": True,
    }
    assert gossamer_exits("contact", what, "bob")[:2] == (0, "b\\x1bob  none  blocked\n")
    assert node.asked[-1] == (f"contact_{what}", {"username": BOB})
    node.answers[f"contact_{what}"] = Refused("request_not_found", "nobody asks")
    assert gossamer_exits("contact", what, "bob")[0] == 6
    assert gossamer_exits("contact", what)[0] == 2


def test_a_request_takes_a_line_along_and_a_block_can_be_silent(
    node: Scripted, gossamer_exits: Exits
) -> None:
    done = {"user_id": BOB, "username": "bob", "state": "requested"}
    node.answers |= {"contact_request": done, "contact_block": done}
    code, out, err = gossamer_exits("contact", "request", "bob", "--message", "tea?")
    assert (code, out) == (0, "bob  requested\n") and "every week" in err
    assert node.asked[-1] == ("contact_request", {"username": BOB, "message": "tea?"})
    gossamer_exits("contact", "block", "bob", "--silent")
    assert node.asked[-1] == ("contact_block", {"username": BOB, "silent": True})
    code, out, _ = gossamer_exits("contact", "request", "bob", "--json")
    assert json.loads(out) == done


def test_the_list_of_contacts_says_who_asks_and_what_made_harmless(
    node: Scripted, gossamer_exits: Exits
) -> None:
    row = {"user_id": BOB, "username": "bob", "state": "incoming", "message": "\x1b[2Jhi", "blocked_by": True}
    node.answers["contact_list"] = {"contacts": [row]}
    code, out, err = gossamer_exits("contact", "list")
    assert code == 0 and "incoming" in out and "blocks you" in out
    assert "bob asks: \\x1b[2Jhi" in err and "\x1b" not in err


def test_a_room_link_is_printed_alone_and_says_beside_who_can_use_it(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["room_link_create"] = {"link": "gossamer:i/abc", "addresses": ["ws://127.0.0.1:7118"]}
    code, out, err = gossamer_exits("room", "link", "club", "--uses", "2", "--expires", "12h")
    assert (code, out) == (0, "gossamer:i/abc\n")
    assert "only on this machine" in err
    assert node.asked[-1] == ("room_link_create", {"room": CLUB, "uses": 2, "expires_in": 43_200})
    assert gossamer_exits("room", "link", "club", "--uses", "0")[0] == 2
    assert gossamer_exits("room", "link", "club", "--expires", "soon")[0] == 2


def test_the_links_to_a_room_are_closed(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["room_link_revoke"] = {"room": CLUB, "revoked": [OFFER]}
    assert gossamer_exits("room", "link", "club", "--revoke")[:2] == (0, f"{OFFER}\n")
    assert node.asked[-1] == ("room_link_revoke", {"room": CLUB})
    assert gossamer_exits("room", "link", "club", "--revoke", "--uses", "2")[0] == 2


def test_a_room_link_can_come_by_standard_input(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers["room_link_use"] = {"room": CLUB, "invite": OFFER, "state": "joining"}
    monkeypatch.setattr("sys.stdin", io.StringIO(" gossamer:i/abc \n"))
    assert gossamer_exits("room", "use", "-")[:2] == (0, f"{CLUB}  joining\n")
    assert node.asked[-1] == ("room_link_use", {"link": "gossamer:i/abc"})


def test_an_invite_goes_to_the_contact_s_id_and_an_unknown_name_is_left_to_the_node(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["user_invite"] = {"invite": OFFER}
    assert gossamer_exits("invite", "send", "club", "bob")[0] == 0
    assert node.asked[-1] == ("user_invite", {"target": BOB, "room": CLUB})
    gossamer_exits("invite", "send", "club", "dave")
    assert node.asked[-1][1]["target"] == "dave"


@pytest.mark.parametrize("words", [(), (OFFER,), (OFFER[:8],), ("opera",), ("carol",)])
def test_the_open_invite_is_accepted_by_any_of_its_names(
    node: Scripted, gossamer_exits: Exits, words: tuple[str, ...]
) -> None:
    assert gossamer_exits("invite", "accept", *words)[:2] == (0, "joined\n")
    assert node.asked[-1] == ("user_invite_response", {"response": "accept", "invite": OFFER})


def test_no_open_invite_is_exit_6_and_several_are_exit_7(node: Scripted, gossamer_exits: Exits) -> None:
    offers = node.answers["invite_list"]["invites"]
    offers.append({**offers[0], "invite": OFFER.replace("1f", "2f")})
    assert gossamer_exits("invite", "decline")[0] == 7
    for offer in offers:
        offer["state"] = "ignore"
    assert gossamer_exits("invite", "decline")[0] == 6
    assert gossamer_exits("invite", "decline", "nobody")[0] == 6


def test_a_member_is_removed_by_id(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("room", "remove", "club", "bob")[0] == 0
    assert node.asked[-1] == ("member_remove", {"room": CLUB, "username": BOB})
    assert gossamer_exits("room", "remove", "club", "dave")[0] == 6


def test_a_role_is_given_to_the_member_of_that_name(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("room", "role", "club", "bob", "admin")[0] == 0
    assert node.asked[-1] == ("member_role", {"room": CLUB, "username": BOB, "role": "admin"})
    assert gossamer_exits("room", "role", "club", "bob", "creator")[0] == 2
    assert gossamer_exits("room", "role", "club", "dave", "admin")[0] == 6


def test_a_room_is_updated_in_what_is_given_alone(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("room", "update", "club", "--topic", "", "--invite", "admins")[0] == 0
    assert node.asked[-1] == ("room_update", {"room": CLUB, "topic": "", "invite": "admins"})
    assert gossamer_exits("room", "update", "club")[0] == 2
    assert gossamer_exits("room", "update", "club", "--invite", "nobody")[0] == 2


def test_a_room_is_deleted_by_its_name(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("room", "delete", "club")[0] == 0
    assert node.asked[-1] == ("room_delete", {"room": CLUB})
    assert gossamer_exits("room", "rekey", "club")[0] == 0
    assert node.asked[-1] == ("room_rekey", {"room": CLUB})
    node.answers["room_delete"] = Refused("forbidden", "not you")
    assert gossamer_exits("room", "delete", "club")[0] == 4


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("internal", 1),
        ("storage_full", 1),
        ("invalid", 2),
        ("bad_frame", 2),
        ("unknown_event", 2),
        ("not_running", 3),
        ("not_a_contact", 4),
        ("not_a_member", 4),
        ("forbidden", 4),
        ("timeout", 5),
        ("unknown_user", 6),
        ("room_not_found", 6),
        ("invite_unknown", 6),
        ("no_open_invite", 6),
        ("not_found", 6),
        ("already_member", 7),
        ("ambiguous_user", 7),
        ("invite_expired", 7),
        ("direct_room", 7),
    ],
)
def test_every_error_code_has_its_exit_code(
    node: Scripted, gossamer_exits: Exits, code: str, exit_code: int
) -> None:
    node.answers["node_status"] = Refused(code, "because")
    assert gossamer_exits("status") == (exit_code, "", f"error: because ({code})\n")


def test_an_error_under_json_is_one_object_on_stderr(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["node_status"] = Refused("forbidden", "no\x1b[31m")
    code, out, err = gossamer_exits("status", "--json")
    assert (code, out) == (4, "")
    assert json.loads(err) == {"error": {"code": "forbidden", "message": "no\x1b[31m"}}
    assert "\x1b" not in err


def test_an_error_text_cannot_reach_the_terminal_raw(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["node_status"] = NodeError("\x1b]0;owned\x07")
    assert "\x1b" not in gossamer_exits("status")[2]


def test_quiet_silences_talk_but_not_data(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["history_get"] = {
        "messages": [{"id": "m", "username": "bob", "message": "hi"}],
        "more": True,
    }
    assert gossamer_exits("history", "club")[2].startswith("more:")
    code, out, err = gossamer_exits("history", "club", "--quiet")
    assert (code, err) == (0, "")
    assert out.endswith("bob: hi\n")


def test_call_sends_text_as_text_and_other_keys_as_what_they_are() -> None:
    assert read_pairs("user_message", ("message=123", "ttl=5")) == {"message": "123", "ttl": 5}
    assert read_pairs("hello", ('subscribe:={"events":[]}',)) == {"subscribe": {"events": []}}
    assert read_pairs("future_command", ("a=1", "b=x", "c=d=e")) == {"a": 1, "b": "x", "c": "d=e"}


@pytest.mark.parametrize("pair", ["message", "=x", ":=1", "n:=x"])
def test_call_refuses_what_is_not_key_and_value(pair: str) -> None:
    with pytest.raises(Refused, match="is not"):
        read_pairs("user_message", (pair,))


def test_call_prints_the_answer_as_json(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("call", "profile_get") == (
        0,
        json.dumps(node.answers["profile_get"], separators=(",", ":")) + "\n",
        "",
    )


def test_a_peer_address_is_looked_at_before_it_is_sent(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("peer", "add", "http://x")[0] == 2
    assert node.asked == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(gossamer_exits: Exits, shell: str) -> None:
    code, out, _ = gossamer_exits("completion", shell)
    assert code == 0
    assert "_GOSSAMER_COMPLETE" in out


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800)])
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert app.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "1.5h", "1y", "²d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="duration"):
        app.duration(text)


def test_stop_waits_until_the_runtime_file_is_gone(
    node: Scripted, gossamer_exits: Exits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.commandline.daily.STOP_WAIT_S", 0.2)
    runtime = tmp_path / "runtime.json"
    runtime.write_text('{"pid": 4194303}')  # above any pid of this test: already gone
    assert gossamer_exits("stop")[0] == 5
    runtime.unlink()
    assert gossamer_exits("stop")[0] == 0


def test_no_colour_reaches_a_pipe(node: Scripted, gossamer_exits: Exits) -> None:
    assert "\x1b" not in gossamer_exits("room", "list")[1]


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream: Any = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert app.App().colour(stream)
    assert not app.App(no_color=True).colour(stream)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not app.App().colour(stream)


def test_a_co_member_who_is_no_contact_is_found_by_the_beginning_of_the_id(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["contact_list"] = {"contacts": []}
    node.answers["contact_rename"] = {"username": "robert"}
    assert gossamer_exits("contact", "rename", BOB[:8], "robert")[:2] == (0, "robert\n")
    assert node.asked[-1] == ("contact_rename", {"username": BOB, "name": "robert"})
    gossamer_exits("contact", "rename", "bobby", "robert")
    assert node.asked[-1] == ("contact_rename", {"username": "bobby", "name": "robert"})


def test_call_hello_gives_the_hello_of_its_own_connection(node: Scripted, gossamer_exits: Exits) -> None:
    code, out, _ = gossamer_exits("call", "hello")
    assert (code, json.loads(out)) == (0, node.hello)
    assert node.asked == []


def safety(verified: str = "unverified") -> dict[str, str]:
    number = " ".join(f"{n:05d}" for n in range(12))
    code = "gossamer:s/" + "Ab1_" * 21
    return {
        "user_id": BOB,
        "username": "bob",
        "verified": verified,
        "policy": "warn",
        "number": number,
        "code": code,
    }


def test_a_safety_number_is_shown_in_groups_and_marks_nobody_when_piped(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["contact_verify"] = safety()
    code, out, err = gossamer_exits("contact", "verify", "bob")
    assert (code, out.splitlines()[0], len(out.splitlines())) == (0, "00000 00001 00002 00003", 3)
    assert "bob is unverified" in err
    assert node.asked[-1] == ("contact_verify", {"username": BOB})
    _, out, _ = gossamer_exits("contact", "verify", "bob", "--json")
    assert json.loads(out) == safety()


def test_on_a_terminal_the_number_comes_with_a_qr_code_and_a_question(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers["contact_verify"] = safety()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for answer, asked in ((False, {"username": BOB}), (True, {"username": BOB, "verified": True})):
        monkeypatch.setattr("click.confirm", lambda *_a, _answer=answer, **_k: _answer)
        code, out, _ = gossamer_exits("contact", "verify", "bob")
        assert code == 0
        assert len(out.splitlines()) > 15
        assert node.asked[-1] == ("contact_verify", asked)


def test_a_number_is_marked_and_a_code_compared_without_a_question(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers["contact_verify"] = safety("verified")
    assert "bob is verified" in gossamer_exits("contact", "verify", "bob", "--mark")[2]
    assert node.asked[-1][1] == {"username": BOB, "verified": True}
    gossamer_exits("contact", "verify", "bob", "--unmark")
    assert node.asked[-1][1] == {"username": BOB, "verified": False}
    monkeypatch.setattr("sys.stdin", io.StringIO("gossamer:s/xyz\n"))
    gossamer_exits("contact", "verify", "bob", "--code", "-")
    assert node.asked[-1][1] == {"username": BOB, "code": "gossamer:s/xyz"}
    assert gossamer_exits("contact", "verify", "bob", "--mark", "--unmark")[0] == 2
    node.answers["contact_verify"] = Refused("code_mismatch", "other keys")
    assert gossamer_exits("contact", "verify", "bob", "--code", "gossamer:s/xyz")[0] == 7


def test_a_policy_is_one_of_three_and_a_changed_key_is_not_allowed(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["contact_policy"] = {**safety("changed"), "policy": "strict"}
    assert gossamer_exits("contact", "policy", "bob", "strict")[:2] == (0, "bob  strict  changed\n")
    assert node.asked[-1] == ("contact_policy", {"username": BOB, "policy": "strict"})
    assert gossamer_exits("contact", "policy", "bob", "never")[0] == 2
    node.answers["user_message"] = Refused("key_changed", "verify bob first")
    assert gossamer_exits("send", "club", "hello")[0] == 4


def test_what_is_printed_to_be_run_names_the_home_that_it_is_for(
    node: Scripted, gossamer_exits: Exits, tmp_path: Path
) -> None:
    node.answers["contact_add"] = {"user_id": BOB, "state": "pending"}
    ours = f"gossamer --home {tmp_path}"
    assert f"{ours} contact list" in gossamer_exits("contact", "add", "link")[2]
    node.answers["room_list"] = Refused("not_running", "no node is running here; start it:  gossamer run")
    assert f"{ours} run" in gossamer_exits("room", "list")[2]
    ours_app = app.App(home=str(tmp_path))
    assert ours_app.ours("`gossamer run --relay` elsewhere, /a/gossamer here, gossamer peer list") == (
        f"`gossamer run --relay` elsewhere, /a/gossamer here, {ours} peer list"
    )


def test_commands_are_done_at_once_from_standard_input(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"event": "error", "code": "invalid", "message": "no"}
    node.answers["batch"] = {"results": [{"event": "ok", "req": 1}, error]}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"event":"room_list","req":1}\n\n{"event":"x"}\n'))
    code, out, err = gossamer_exits("batch", "--halt")
    assert (code, len(out.splitlines())) == (1, 2) and "batch_refused" in err
    asked = {"commands": [{"event": "room_list", "req": 1}, {"event": "x"}], "halt_on_error": True}
    assert node.asked[-1] == ("batch", asked)
    monkeypatch.setattr("sys.stdin", io.StringIO("no json"))
    assert gossamer_exits("batch")[0] == 2

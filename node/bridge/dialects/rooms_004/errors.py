"""How the rooms protocol tells of refusals: six codes, our own beside them (docs/dialects/rooms_004.md)."""

from __future__ import annotations

from typing import Any, Final

from node.bridge.dialects.adapter import Call
from node.errors import Refused

VALIDATION, FORBIDDEN, INTERNAL = "ERR_VALIDATION", "ERR_FORBIDDEN", "ERR_INTERNAL"
NOT_FOUND, NOT_MEMBER, RATE_LIMIT = "ERR_ROOM_NOT_FOUND", "ERR_NOT_MEMBER", "ERR_RATE_LIMIT"
MAX_ECHO = 64
"""Letters of a `roomId` that an error repeats."""

CODES: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("bad_frame", "unknown_event", "invalid", "not_supported", "nonce_reused", "not_in_batch",
         "attachment_too_large", "attachment_unknown", "bad_link", "too_large", "bad_request",
         "unsupported_media_type", "websocket_needed", "message_not_found", "message_deleted",
         "unknown_user", "ambiguous_user", "ambiguous_message", "user_not_found", "name_taken",
         "notification_not_found", "no_open_invite", "invite_unknown", "invite_not_found",
         "ambiguous_invite", "ambiguous_room", "token_not_found", "origin_not_found", "peer_not_found",
         "consumer_not_found", "already_member", "code_mismatch", "request_not_found", "invalid_config",
         "not_found", "file_not_found", "file_unwritable", "file_exists", "backup_not_found", "home_exists",
         "identity_exists", "resync_required", "not_here", "no_index", "tls_missing", "tls_damaged",
         "lan_missing"),
        VALIDATION,
    ),
    **dict.fromkeys(("room_not_found", "room_deleted", "invite_expired", "invite_resolved"), NOT_FOUND),
    **dict.fromkeys(("not_a_member",), NOT_MEMBER),
    **dict.fromkeys(
        ("forbidden", "unauthorized", "wrong_host", "origin_not_allowed", "credential_missing", "cross_site",
         "not_a_contact", "blocked", "key_changed", "direct_room", "too_many", "device_revoked",
         "wrong_passphrase", "not_sealed", "not_enabled"),
        FORBIDDEN,
    ),
    **dict.fromkeys(("rate_limited", "busy"), RATE_LIMIT),
    **dict.fromkeys(
        ("internal", "http_error", "halted", "batch_refused", "connection_lost", "closed", "not_running",
         "timeout", "attachment_pending", "attachment_failed", "attachment_damaged", "storage_full",
         "room_keys_lost", "room_unreachable", "backup_damaged", "bad_history", "equivocation",
         "epoch_slot_omitted", "epoch_split", "session_renewed", "clock_skew", "cloned", "port_taken",
         "home_locked", "socket_unsafe", "no_identity", "identity_corrupt", "locked",
         "keyring_unavailable", "wrong_key",
         "store_corrupt", "home_unusable", "schema_newer", "migration_failed", "service_failed",
         "demo_failed", "fatal", "bad_peer", "unasked", "bad_crypto", "unauthorised"),
        INTERNAL,
    ),
}  # fmt: skip
"""Every code of docs/errors.md; what is added there has to be added here."""


FIELDS: Final = {
    "room": "roomId", "message": "content", "attachment": "content", "data": "content", "typing": "isTyping",
}  # fmt: skip
"""What a frontend of this protocol calls the keys of our commands."""


def payload_of(call: Call | None, fault: Refused) -> dict[str, Any]:
    """Return what the event `error` says of a refusal: `code` and `message`, the rest is ours."""
    payload: dict[str, Any] = {
        "code": CODES.get(fault.code, INTERNAL),
        "message": fault.message,
        "type": "error",
        "reason": fault.code,
    }
    if fault.field is not None:
        payload["field"] = FIELDS.get(fault.field, fault.field)
    if fault.retry_after is not None:
        payload["retryAfter"] = fault.retry_after
    if call is not None:
        payload["event"] = call.name[:MAX_ECHO]
        room = call.args[0].get("roomId") if call.args and isinstance(call.args[0], dict) else None
        if isinstance(room, str):
            payload["roomId"] = room[:MAX_ECHO]
    return payload

"""How patiently what is missing is asked for, in rooms and in conversations of two (docs/crypto.md 3.8)."""

from __future__ import annotations

ASK_AGAIN = 60.0
MAX_WAIT = 24 * 3600.0
"""The wait doubles up to a day: some 45 questions in the 35 days."""
ASK_LATER = 3600.0
"""Seconds after which we look again where nobody could be asked: the author, or the room, is gone."""
START_AFTER = 10.0
"""Seconds after a start before anything is asked again: a sync may have brought it by then."""

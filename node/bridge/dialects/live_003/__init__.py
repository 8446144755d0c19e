"""The dialect 003: `{action, data}` over `/ws/events`, and HTTP beside it (docs/dialects/live_003.md)."""

"""The domain: rooms, people, invites, presence; pure (docs/architecture.md)."""

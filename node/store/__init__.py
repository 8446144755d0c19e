"""What is remembered, and how it is sealed on disk (docs/operations.md, docs/crypto.md 3.11)."""

"""Dialects: pure translations between frames and the one vocabulary of commands and events."""

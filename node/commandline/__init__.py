"""What the commands of `gossamer` do: ask the node over its bridge, print its answer (docs/operations.md)."""

"""A mesh of thousands in one process: node.mesh.mesh machines on a virtual clock (docs/simulator.md)."""

"""Other projects doing the same work, each in an environment and a process of its own: they pin conflicting versions.

A peer's module imports only the standard library and that peer; the asking side is worker.py, environments.py builds
the environments.
"""

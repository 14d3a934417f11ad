"""Rewrites of a traced graph, one per file: a pattern, a check that says why it refuses, and what takes its place."""

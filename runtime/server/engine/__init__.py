"""Continuous batching: sequences join and leave a running decoder between steps."""

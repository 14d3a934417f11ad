"""Peers side by side in one run, the demo, and the real models that tests and benchmarks use."""

"""Folders that other exporters write, run by Headway and by the exporter's own runtime on the same ids.

``python -m headway.benchmarks.interop`` exports what is missing, asks both sides and prints a table. An exporter's
module imports only the standard library and that exporter; each runs in an environment of its own.
"""

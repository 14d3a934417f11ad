"""Tables of recorded measurements, and that the README shows the recorded ones."""

from headway.benchmarks.report import END, START, insert_tables, main, table

RECORD = {
    "title": "Embeddings",
    "settings": "Two threads.",
    "machine": {"processor": "A CPU", "cpus": 2, "python": "3.11.7", "packages": {"torch": "2.13.0"}},
    "rows": [{"what": "PyTorch", "texts": 2000, "ms": 1234.5678}, {"what": "Headway", "texts": 2000, "ms": 12.3456}],
}


def test_table() -> None:
    assert table(RECORD).splitlines() == [
        "**Embeddings**",
        "",
        "| what | texts | ms |",
        "| --- | --- | --- |",
        "| PyTorch | 2000 | 1235 |",
        "| Headway | 2000 | 12.3 |",
        "",
        "Two threads. A CPU, 2 CPUs, Python 3.11.7, torch 2.13.0.",
    ]


def test_tables_replace_what_was_between_the_marks() -> None:
    readme = f"before\n{START}old\n{END}after\n"
    written = insert_tables(readme, [RECORD])
    assert written.startswith(f"before\n{START}\n**Embeddings**")
    assert written.endswith(f"torch 2.13.0.\n\n{END}after\n")
    assert insert_tables(written, [RECORD]) == written
    assert insert_tables(written, []) == f"before\n{START}{END}after\n"


def test_the_readme_shows_the_recorded_measurements() -> None:
    assert main(["--check"]) == 0

"""docs/benchmarks.md: what is measured anew replaces its section, the rest stays."""

from bench.report import section, sections_of


def test_sections_are_found_by_the_name_of_their_benchmark_and_come_back_as_they_were() -> None:
    documents = [
        {
            "name": name,
            "date": "2026-11-25",
            "machine": "here",
            "seconds": 1.0,
            "metrics": [],
            "rows": [],
            "notes": ["so"],
        }
        for name in ("prune", "recorder_soak")
    ]
    texts = [section(document) for document in documents]
    found = sections_of("# Benchmarks\n\nWhat it is.\n\n" + "\n".join(texts))
    assert found == {"prune": texts[0], "recorder_soak": texts[1]}

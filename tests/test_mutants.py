"""The list of breakages for `make mutants` keeps up with the sources and the tests."""

from __future__ import annotations

from collections import Counter

from mutants import catalogue


def test_every_mutant_still_applies() -> None:
    """Its old text stands once in the source, and the tests that should notice exist."""
    wrong = [f"{m.name}: {fault}" for m in catalogue.load() for fault in catalogue.faults(m)]
    assert wrong == []


def test_every_mutant_has_a_name_of_its_own() -> None:
    names = Counter(mutant.name for mutant in catalogue.load())
    assert [name for name, count in names.items() if count > 1] == []


def test_every_mutant_says_why_it_matters() -> None:
    assert [mutant.name for mutant in catalogue.load() if len(mutant.why) < 8] == []

"""scripts/commits.py: the form of commits since the one that brought it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import commits  # noqa: E402

GOOD = "net: close the listener first\n\nElse connections come in while the loop ends."
has_git = pytest.mark.skipif(shutil.which("git") is None, reason="git isn't installed")


class Repository:
    """A new one, in which commits have only messages, but for the one that brings the check."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("what came before has no form")
        (folder / "scripts").mkdir()
        (folder / commits.ITSELF).write_text("")
        self.git("add", ".")
        self.commit("this one has none, either")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", self.folder, *arguments], check=True)

    def commit(self, message: str) -> None:
        self.git("commit", "--quiet", "--allow-empty", "--message", message)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # a hook sets them
        monkeypatch.delenv(variable, raising=False)
    return Repository(tmp_path / "repository")


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        "http, app: take the limit from the route\n\nUsers set it there.",
        "http/ws: answer pings while paused\n\nThe peer takes silence for an end.\n\nRFC 6455.",
    ],
)
def test_accepted(message: str) -> None:
    assert commits.faults(message) == []


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Close the listener first\n\nElse it stays.", "the subject isn't `area: what it does`"),
        ("Net: close the listener\n\nElse it stays.", "the subject isn't `area: what it does`"),
        (f"net: {'x' * 68}\n\nElse it stays.", "the subject has 73 columns, of 72"),
        ("net: close the listener first", "no body gives the reason"),
        ("net: close the listener\nElse it stays.", "no empty line follows the subject"),
        (f"net: close\n\n{'x' * 101}", "a line of the body has more than 100 columns"),
        *(
            (
                f"net: {words}\n\nElse it stays.",
                "the subject isn't imperative: write what the commit does, as in `close it`",
            )
            for words in (
                "the listener closes first",
                "What comes late finds it closed",
                "how listeners close",
                "listeners are closed first",
                "each listener has an end",
            )
        ),
    ],
)
def test_refused(message: str, fault: str) -> None:
    assert commits.faults(message) == [fault]


@pytest.mark.parametrize(
    "words",
    [
        "haven",
        "isolate what waits",
        "write the list that was lost",
        "make a shape once its schema is complete",
    ],
)
def test_what_is_no_statement(words: str) -> None:
    """Whole words count, and those of the main clause."""
    assert commits.faults(f"net: {words}\n\nElse it stays.") == []


def test_subjects_of_before_are_free() -> None:
    message = "net: listeners are closed first\n\nElse they stay."
    assert commits.faults(message, "2026-11-30") == []


@has_git
def test_the_date_of_a_commit_decides(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2026-11-30", commits.IMPERATIVE_SINCE):
        monkeypatch.setenv("GIT_AUTHOR_DATE", f"{day}T12:00:00Z")
        repository.commit("net: listeners are closed first\n\nElse they stay.")
    count, lines = commits.check(repository.folder)
    assert (count, len(lines)) == (2, 1)


@has_git
def test_only_new_commits_count(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert commits.main([str(repository.folder)]) == 0
    assert capsys.readouterr().out == "commits: 0 new, 0 faults\n"
    repository.commit(GOOD)
    repository.commit('Revert "something"')
    assert commits.main([str(repository.folder)]) == 0
    assert capsys.readouterr().out == "commits: 1 new, 0 faults\n"


@has_git
def test_faults_are_named_with_their_commits(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit("net: close the listener first")
    repository.commit(GOOD)
    assert commits.main([str(repository.folder)]) == 1
    found = capsys.readouterr()
    assert found.out == "commits: 2 new, 1 faults\n"
    assert "net: close the listener first: no body gives the reason" in found.err


@has_git
def test_merges_need_no_form(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit(GOOD)
    repository.git("checkout", "--quiet", "main")
    repository.commit(GOOD + " Here, too.")
    repository.git("merge", "--quiet", "--no-ff", "--message", "Merge it", "side")
    assert commits.check(repository.folder) == (2, [])


@has_git
def test_a_published_commit_can_be_excused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("this slipped through")
    head = commits.git(repository.folder, "rev-parse", "HEAD").strip()
    monkeypatch.setattr(commits, "EXCUSED", frozenset([head]))
    assert commits.check(repository.folder) == (0, [])


@has_git
def test_a_shallow_clone(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit("this can't be judged")
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(clone))
    assert commits.main([str(clone)]) == 0
    assert capsys.readouterr().out == "commits: not checked: the clone is shallow\n"


@has_git
def test_a_history_without_the_check(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "HEAD~1")
    with pytest.raises(commits.Absent, match="no commit brought"):
        commits.check(repository.folder)


@has_git
def test_a_folder_of_another_repository(repository: Repository) -> None:
    with pytest.raises(commits.Absent, match="part of another repository"):
        commits.check(repository.folder / "scripts")


@has_git
@pytest.mark.usefixtures("repository")
def test_no_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commits.main([str(tmp_path)]) == 0
    assert "not a git repository" in capsys.readouterr().out


def test_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commits.main([]) == 0
    assert capsys.readouterr().out == (
        "commits: not checked: git can't be run: No such file or directory\n"
    )

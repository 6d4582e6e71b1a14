"""Checks the form of new commits: those since the one that brought this file, merges excepted.

    python scripts/commits.py [REPOSITORY]

A subject is `area: imperative ...` of at most 72 columns, with commas between several areas. Since
IMPERATIVE_SINCE it may not describe a state instead: it doesn't begin with an article, "what",
"how" or "that", and has no "is", "are", "was", "were", "has" or "have". An
empty line follows, and a body that gives the reason, in lines of at most 100 columns. Prints what
is wrong and fails; without git, a repository or enough history it says so and succeeds. Standard
library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ITSELF = "scripts/commits.py"
SUBJECT_COLUMNS = 72
BODY_COLUMNS = 100
SUBJECT = re.compile(r"[a-z][\w./-]*(, [a-z][\w./-]*)*: \S")
# What a commit does is said in the imperative. These begin or make a statement about a state.
IMPERATIVE_SINCE = "2026-12-01"
# What follows a conjunction may have any verb.
STATEMENT = re.compile(
    r"(?:a|an|the|what|how|that)\b"
    r"|(?:(?!\b(?:once|when|that|until|if|who|which|what|while|where|as)\b).)*"
    r"\b(?:is|are|was|were|has|have|isn't|aren't)\b",
    re.IGNORECASE,
)
# Full hashes of commits that were published before somebody saw what is wrong with them.
EXCUSED: frozenset[str] = frozenset()
# Written by git or about to be folded into another.
OTHERS = ("Revert ", "fixup! ", "squash! ", "amend! ")


class Absent(Exception):
    """There is nothing to look at; the text says why."""


def git(repository: Path, *arguments: str) -> str:
    """What git prints. Raises Absent when there is no git, or when git refuses."""
    command = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise Absent(f"git can't be run: {error.strerror}") from None
    if done.returncode != 0:
        raise Absent(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout


def base(repository: Path) -> str:
    """The commit that brought this file. Raises Absent when it isn't in this clone's history."""
    if git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise Absent("the clone is shallow")
    if git(repository, "rev-parse", "--show-prefix").strip():
        raise Absent("the folder is part of another repository")
    added = git(repository, "log", "--diff-filter=A", "--format=%H", "--", ITSELF).split()
    if not added:
        raise Absent(f"no commit brought {ITSELF}")
    return added[-1]


def faults(message: str, date: str = IMPERATIVE_SINCE) -> list[str]:
    """What is wrong with the message of a commit that was written on this date, YYYY-MM-DD."""
    subject, _, rest = message.strip().partition("\n")
    found = []
    if not SUBJECT.match(subject):
        found.append("the subject isn't `area: what it does`")
    elif date >= IMPERATIVE_SINCE and STATEMENT.match(subject.partition(": ")[2]):
        found.append("the subject isn't imperative: write what the commit does, as in `close it`")
    if len(subject) > SUBJECT_COLUMNS:
        found.append(f"the subject has {len(subject)} columns, of {SUBJECT_COLUMNS}")
    if not rest.strip():
        found.append("no body gives the reason")
    elif not rest.startswith("\n"):
        found.append("no empty line follows the subject")
    if any(len(line) > BODY_COLUMNS for line in rest.splitlines()):
        found.append(f"a line of the body has more than {BODY_COLUMNS} columns")
    return found


def check(repository: Path) -> tuple[int, list[str]]:
    """How many commits were looked at, and a line for each fault. Raises Absent."""
    since = f"{base(repository)}..HEAD"
    text = git(repository, "log", "--no-merges", "--reverse", "-z", "--format=%H %as %B", since)
    count, lines = 0, []
    for entry in filter(None, text.split("\0")):
        commit, date, message = entry.split(" ", 2)
        if commit not in EXCUSED and not message.startswith(OTHERS):
            count += 1
            subject = message.partition("\n")[0]
            lines += [f"{commit[:10]} {subject}: {fault}" for fault in faults(message, date)]
    return count, lines


def main(arguments: list[str]) -> int:
    repository = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    try:
        count, lines = check(repository)
    except Absent as why:
        print(f"commits: not checked: {why}")
        return 0
    for line in lines:
        print(f"commits: {line}", file=sys.stderr)
    print(f"commits: {count} new, {len(lines)} faults")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

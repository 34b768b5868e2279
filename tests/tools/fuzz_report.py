"""Counts what became of the files, shows the progress, prints the summary."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from fuzz_outcome import CRASH, Finding, Outcome

_DETAIL_LINES = 40
_SHOWN_NUMBERS = 10


@dataclass
class Tally:
    """Counts over all files."""

    kinds: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    slowest: Outcome | None = None
    largest: Outcome | None = None
    findings: dict[str, list[tuple[Outcome, Finding]]] = field(default_factory=dict)
    crashes: dict[str, list[tuple[Outcome, Finding]]] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """How many there were."""
        return self.verdicts.total()

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.kinds[outcome.kind] += 1
        self.verdicts[outcome.verdict] += 1
        self.frames += outcome.frames
        if self.slowest is None or outcome.seconds > self.slowest.seconds:
            self.slowest = outcome
        if self.largest is None or outcome.megabytes > self.largest.megabytes:
            self.largest = outcome
        group = self.crashes if outcome.verdict == CRASH else self.findings
        for finding in outcome.findings:
            group.setdefault(finding.title, []).append((outcome, finding))

    def summary(self) -> str:
        """All of it, in lines."""
        lines = [f"{self.files} files", "", "by kind of damage:"]
        lines += [f"  {count:6d}  {kind}" for kind, count in sorted(self.kinds.items())]
        lines += ["", "what became of them:"]
        lines += [f"  {count:6d}  {verdict}" for verdict, count in sorted(self.verdicts.items())]
        lines += ["", f"frames decoded: {self.frames}"]
        if self.slowest is not None and self.largest is not None:
            slow, large = self.slowest, self.largest
            lines.append(f"slowest: {slow.seconds:.2f} s, file {slow.number}, {slow.what}")
            lines.append(f"most memory: {large.megabytes} MB, file {large.number}, {large.what}")
        lines += _listed("crashes of FFmpeg by a signal", self.crashes)
        lines += _listed("findings", self.findings)
        return "\n".join(lines)


def _listed(title: str, groups: dict[str, list[tuple[Outcome, Finding]]]) -> list[str]:
    total = sum(len(group) for group in groups.values())
    lines = ["", f"{title}: {total}"]
    for name, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        group.sort(key=lambda pair: pair[0].number)
        outcome, finding = group[0]
        numbers = ", ".join(str(o.number) for o, _ in group[:_SHOWN_NUMBERS])
        more = ", ..." if len(group) > _SHOWN_NUMBERS else ""
        lines += [f"  {len(group)} x {name}", f"    files {numbers}{more}"]
        lines.append(f"    {outcome.number} is {outcome.what} ({outcome.options})")
        lines += [f"      {line}" for line in finding.detail.splitlines()[-_DETAIL_LINES:]]
    return lines


class Progress:
    """A line on stderr: on a terminal one that moves, else one a minute."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._moving = sys.stderr.isatty()
        self._begin = self._last = time.monotonic()

    def show(self, tally: Tally) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if now - self._last < (0.5 if self._moving else 60):
            return
        self._last = now
        crashes, findings = (
            sum(len(group) for group in groups.values())
            for groups in (tally.crashes, tally.findings)
        )
        line = (
            f"{tally.files} of {self._total} files, {tally.files / (now - self._begin):.1f} a"
            f" second, {findings} findings, {crashes} crashes"
        )
        print(line, end="\r" if self._moving else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the moving line."""
        if self._moving:
            print(file=sys.stderr)

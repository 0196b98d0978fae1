"""What comparisons have in common: ratios within a round, tables, and the machine they were made on."""

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spread:
    """Of several rounds."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: list[float]) -> "Spread":
        return Spread(statistics.median(values), min(values), max(values))

    def show(self, digits: int = 1) -> str:
        """`3.1 (2.9–3.4)`; a single round's value has no range."""
        middle = f"{self.median:.{digits}f}"
        if self.least == self.most:
            return middle
        return f"{middle} ({self.least:.{digits}f}–{self.most:.{digits}f})"


def ratios(rounds: list[dict[str, float]], base: str) -> dict[str, Spread]:
    """How many times as much as `base` each contestant cost, in the same round: a machine that is busy in one round is
    so for all of it. Rounds without `base` say nothing."""
    seen: dict[str, list[float]] = {}
    for costs in rounds:
        if base in costs:
            for name, cost in costs.items():
                seen.setdefault(name, []).append(cost / costs[base])
    return {name: Spread.of(values) for name, values in seen.items()}


def table(columns: dict[str, type], rows: list[list[str]]) -> str:
    """A table of Markdown: headings with what is below them, `str` to the left and numbers to the right."""
    texts = [kind is str for kind in columns.values()]
    widths = [max(map(len, column)) for column in zip(columns, *rows)]
    rule = ["-" * width if text else "-" * (width - 1) + ":" for text, width in zip(texts, widths)]
    lines = [
        [cell.ljust(width) if text else cell.rjust(width) for cell, text, width in zip(row, texts, widths)]
        for row in [list(columns), rule, *rows]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> dict[str, str]:
    """What it was measured on, and how busy that was."""
    model = platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**20:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def facts(machine: dict[str, str]) -> str:
    """The machine in a line."""
    return "; ".join(f"{name}: {value}" for name, value in machine.items())


def save(folder: Path, text: str, data: dict) -> None:
    """Prints the report and leaves it as `report.md` and `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(text + "\n")
    (folder / "report.json").write_text(json.dumps(data, indent=1, default=asdict) + "\n")
    print(f"\n{text}\n\nalso in {folder}/report.md and report.json")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

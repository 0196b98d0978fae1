"""Tripline beside what users would run in its place: the same events, one after the other, each alone on one core.

Each round runs every peer once, and its ratio to ours is taken within the round. Every output is compared with the
input, trip by trip and value by value. `make bench-peers` starts it; docs/performance.md says what is left out.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benches import measure, report
from benches.peers import catalog, events
from benches.peers.catalog import OURS, Missing, Peer

MEMORY_DISK = Path("/dev/shm")
# What a round leaves behind is at most this large.
ROOM = 2 << 30


@dataclass(frozen=True)
class Run:
    """One peer in one round."""

    us_per_record: float
    peak_mb: float
    # Both figures again for each process, where there are several.
    sides: dict[str, tuple[float, float]]
    bytes_per_row: float
    files: int
    bulk_bytes_per_record: float


@dataclass(frozen=True)
class Bench:
    python: Path
    # The Lambda events, and the lines for who reads lines.
    inputs: dict[bool, tuple[Path, dict]]
    core: int
    work: Path

    def run(self, peer: Peer, built: Path) -> Run:
        """Runs a peer, and compares what it wrote with what it read."""
        folder, written = self.inputs[peer.lines]
        out = Path(tempfile.mkdtemp(prefix=f"{peer.name}-", dir=self.work))
        try:
            places = {
                "built": built,
                "events": folder / "events",
                "trips": folder / "trips.ndjson",
                "zones": folder / "zones.json",
                "zones_text": (folder / "zones.json").read_text(),
                "out": out,
            }
            environment = {name: value.format(**places) for name, value in peer.environment.items()}
            costs = {}
            for side in peer.sides:
                command = [part.format(**places, side=side) for part in peer.command]
                costs[side] = measure.measure(command, environment, self.core)
            lake = self._check(peer, folder, out)
        except subprocess.CalledProcessError as failure:
            sys.exit(f"{peer.name}: exit code {failure.returncode}; see above")
        finally:
            shutil.rmtree(out, ignore_errors=True)
        return digest(costs, lake, written["records"])

    def _check(self, peer: Peer, folder: Path, out: Path) -> dict:
        command = [self.python, "-m", "benches.peers.check", folder / "trips.ndjson", folder / "zones.json", out]
        done = subprocess.run(command, cwd=catalog.ROOT, stdout=subprocess.PIPE, text=True)
        lake = json.loads(done.stdout or "{}")
        if done.returncode:
            sys.exit(f"{peer.name}: not what was sent: {'; '.join(lake.get('differences', ['see above']))}")
        return lake


def digest(costs: dict[str, measure.Cost], lake: dict, records: int) -> Run:
    """A round's figures. A peer's own word counts only for what it costs once it is warm."""
    each = {
        side: (cost.told.get("steady_us_per_record", cost.cpu_s / records * 1e6), cost.peak_mb)
        for side, cost in costs.items()
    }
    return Run(
        us_per_record=sum(us for us, _ in each.values()),
        peak_mb=max(peak for _, peak in each.values()),
        sides=each if len(each) > 1 else {},
        bytes_per_row=lake["parquet_bytes"] / lake["rows"],
        files=lake["files"],
        bulk_bytes_per_record=sum(cost.told.get("bulk_bytes", 0) for cost in costs.values()) / records,
    )


def build(peers: list[Peer], target: Path, python: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """What could be built, by kind, and why the others are left out, by name."""
    built: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for kind in dict.fromkeys(peer.build for peer in peers):
        try:
            built[kind] = catalog.build(kind, target, python)
        except Missing as reason:
            missing |= {peer.name: str(reason) for peer in peers if peer.build == kind}
    for name, reason in missing.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    return built, missing


def rounds_of(
    bench: Bench, peers: list[Peer], built: dict[str, Path], rounds: int, slow_rounds: int
) -> list[dict[str, Run]]:
    """All rounds; each begins with another peer, so that none always comes after the same one."""
    done = []
    for number in range(rounds):
        runs: dict[str, Run] = {}
        first = number % len(peers)
        for peer in peers[first:] + peers[:first]:
            if not peer.slow or number < slow_rounds:
                runs[peer.name] = run = bench.run(peer, built[peer.build])
                print(f"round {number + 1}  {peer.name:<28}{run.us_per_record:8.2f} us/record", flush=True)
        done.append(runs)
    return done


def show(peers: list[Peer], rounds: list[dict[str, Run]]) -> str:
    """The table of a report."""
    seen = {peer.name: [runs[peer.name] for runs in rounds if peer.name in runs] for peer in peers}
    ratios = report.ratios([{name: run.us_per_record for name, run in runs.items()} for runs in rounds], OURS)
    rows = []
    for peer in peers:
        if not (runs := seen[peer.name]):
            continue
        rows.append(
            [
                peer.name,
                peer.what,
                report.Spread.of([run.us_per_record for run in runs]).show(),
                ratios[peer.name].show() if peer.name in ratios else "",
                f"{max(run.peak_mb for run in runs):.0f}",
                f"{runs[0].bytes_per_row:.1f}",
                str(runs[0].files),
                str(len(runs)),
                peer.lacks,
            ]
        )
        for side in runs[0].sides:
            costs = report.Spread.of([run.sides[side][0] for run in runs])
            peak = max(run.sides[side][1] for run in runs)
            rows.append([f"of that {side}", "", costs.show(), "", f"{peak:.0f}", *[""] * 4])
    columns = {"peer": str, "what it is": str, "CPU us/record": float, "times ours": float, "peak MB": float}
    return report.table(columns | {"Parquet B/row": float, "files": int, "rounds": int, "leaves out": str}, rows)


def bars(required: list[str], rounds: list[dict[str, Run]]) -> list[str]:
    """Which of `name=ratio` do not hold, in words."""
    ratios = report.ratios([{name: run.us_per_record for name, run in runs.items()} for runs in rounds], OURS)
    failures = []
    for bar in required:
        name, least = bar.split("=")
        if name not in ratios:
            failures.append(f"{name} and {OURS} did not both run")
        elif ratios[name].median < float(least):
            failures.append(f"{name} costs {ratios[name].show()} times as much as {OURS}: {least} times are asked for")
    return failures


def versions(python: Path) -> dict[str, str]:
    """Of what the peers were built with and run on."""
    told = {}
    for name, command in {
        "Python": [str(python), "--version"],
        "Go": ["go", "version"],
        "Java": ["java", "--version"],
        "Rust": ["rustc", "--version"],
    }.items():
        if shutil.which(command[0]):
            told[name] = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    told["packages"] = ", ".join((catalog.ROOT / "benches/requirements.txt").read_text().split())
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=sys.executable, help="a Python that has requirements.txt")
    parser.add_argument(
        "--target",
        type=lambda name: Path(name).resolve(),
        default=catalog.ROOT / "target/bench",
        help="input, programs, report",
    )
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds of the peers that take minutes")
    parser.add_argument("--events", type=int, default=40, help="full Lambda events, of about 5,400 records each")
    parser.add_argument("--warm-events", type=int, default=200, help="as many for who has to be warm")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--bar", action="append", default=[], metavar="NAME=RATIO", help="fail if it is below")
    given = parser.parse_args()
    given.target.mkdir(parents=True, exist_ok=True)
    wanted = catalog.chosen([name for name in given.only.split(",") if name])
    built, missing = build(wanted, given.target, given.python)
    peers = [peer for peer in wanted if peer.name not in missing]
    if not peers:
        sys.exit("there is nothing to run")
    inputs = {}
    for lines in sorted({peer.lines for peer in peers}):
        count = given.warm_events if lines else given.events
        folder = given.target / f"{'lines' if lines else 'events'}-{count}"
        inputs[lines] = (folder, events.write(folder, count, lines_only=lines))
    roomy = MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > ROOM
    with tempfile.TemporaryDirectory(prefix="peers-", dir=MEMORY_DISK if roomy else given.target) as work:
        bench = Bench(given.python, inputs, given.core, Path(work))
        rounds = rounds_of(bench, peers, built, given.rounds, given.slow_rounds)
    machine = report.machine() | versions(given.python)
    counts = [
        f"{written['records']:,} records" + (" for who has to be warm" if lines else "")
        for lines, (_, written) in inputs.items()
    ]
    left_out = [f"Left out: {name}: {reason}" for name, reason in missing.items()]
    text = "\n\n".join([show(peers, rounds), f"{', '.join(counts)}. {report.facts(machine)}", *left_out])
    data = {
        "machine": machine,
        "input": {str(folder.name): written for folder, written in inputs.values()},
        "peers": {peer.name: {"what": peer.what, "lacks": peer.lacks} for peer in peers},
        "missing": missing,
        "rounds": [{name: asdict(run) for name, run in runs.items()} for runs in rounds],
    }
    report.save(given.target, text, data)
    if failures := bars(given.bar, rounds):
        sys.exit("\n".join(f"below the bar: {failure}" for failure in failures))


if __name__ == "__main__":
    main()

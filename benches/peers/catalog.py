"""Who is compared: what users would run in place of Tripline, and how each is built and started."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS = "ours"
JVM = ["-XX:+UseG1GC", "-Xmx2g"] + [
    f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("util", "lang", "time")
]


class Missing(Exception):
    """What this machine lacks for a peer."""


@dataclass(frozen=True)
class Peer:
    name: str
    what: str
    build: str
    # {events}, {trips} (JSON lines), {zones} (JSON), {out}, {built} and {side} are filled in.
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    # What it does not do that others here do.
    lacks: str = ""
    # Processes that do the work one after the other; their sum is what it costs.
    sides: tuple[str, ...] = ("",)
    # Takes minutes a round.
    slow: bool = False
    # Reads JSON lines, and needs many to be warm.
    lines: bool = False


def _python(script: str, *options: str) -> list[str]:
    return ["{built}", str(HERE / "python" / script), *"--in {events} --out {out} --zones {zones}".split(), *options]


def _ours(*options: str) -> list[str]:
    return [*"{built}/peer --in {events} --out {out} --stage {side}".split(), *options]


def _flink(mode: str) -> list[str]:
    arguments = f"peers.Job --in {{trips}} --out {{out}} --zones {{zones}} --mode {mode}"
    return ["java", *JVM, "-cp", "{built}/classes:{built}/lib/*", *arguments.split()]


GO = "{built} -in {events} -out {out} -zones {zones}".split()
ONE_THREAD = {"GOMAXPROCS": "1", "POLARS_MAX_THREADS": "1"}
BOTH = ("ingest", "publish")
# A redelivered batch is written again, and a broken record fails it.
NO_ONCE = "exactly once, dead letters"
PEERS = [
    Peer("python-lambda", "Python: json, pyarrow", "python", _python("plain.py"), lacks=NO_ONCE),
    Peer(
        "python-lambda-opensearch-py",
        "the same, bulk body by opensearch-py",
        "python",
        _python("plain.py", "--bulk", "opensearch-py"),
        lacks=NO_ONCE,
    ),
    Peer(
        "python-lambda-orjson",
        "the same, JSON by orjson",
        "python",
        _python("plain.py", "--json", "orjson"),
        lacks=NO_ONCE,
    ),
    Peer("polars", "orjson for the event, then Polars", "python", _python("with_polars.py"), ONE_THREAD, lacks=NO_ONCE),
    Peer("duckdb", "DuckDB, all in SQL", "python", _python("with_duckdb.py"), lacks=NO_ONCE),
    Peer("go-lambda", "Go: encoding/json, parquet-go", "go", GO, ONE_THREAD, lacks=NO_ONCE),
    Peer("go-lambda-goccy", "the same, JSON by goccy", "go", [*GO, "-json", "goccy"], ONE_THREAD, lacks=NO_ONCE),
    Peer(
        "naive",
        "Rust: aws_lambda_events, serde_json, arrow-json",
        "rust",
        "{built}/naive --in {events} --out {out}".split(),
        lacks=NO_ONCE,
    ),
    Peer(
        "benthos",
        "Benthos 4.27, its mapping language",
        "benthos",
        ["{built}", "-c", str(HERE / "benthos/job.yaml")],
        {**ONE_THREAD, "IN": "{events}/*.json", "OUT": "{out}", "BULK": "{out}/_bulk", "ZONES": "{zones_text}"},
        lacks=NO_ONCE,
        slow=True,
    ),
    Peer(
        "flink",
        "Flink 1.20, DataStream, keyed, warm",
        "flink",
        _flink("stream"),
        lacks="envelope, base64, dead letters",
        slow=True,
        lines=True,
    ),
    Peer(
        "flink-sql",
        "Flink 1.20, SQL, warm",
        "flink",
        _flink("sql"),
        lacks="envelope, base64, dead letters, bulk body",
        slow=True,
        lines=True,
    ),
    Peer("ours-gzip", "Tripline, bulk bodies compressed", "rust", _ours("--gzip"), sides=BOTH),
    Peer(OURS, "Tripline, both functions", "rust", _ours(), sides=BOTH),
]


def chosen(names: list[str]) -> list[Peer]:
    """The peers of these names, in the order of the catalog; all where none is named."""
    known = [peer.name for peer in PEERS]
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no peer is called {', '.join(unknown)}: there are {', '.join(known)}")
    return [peer for peer in PEERS if not names or peer.name in names]


def build(kind: str, target: Path, python: Path) -> Path:
    """Builds what peers of a kind run. Raises `Missing` where this machine cannot."""
    return BUILDS[kind](target, python)


def _build_python(target: Path, python: Path) -> Path:
    return python


def _build_rust(target: Path, _python: Path) -> Path:
    cargo = os.environ.get("CARGO", "cargo")
    # As `make bench` builds them, with the functions beside them.
    packages = "--package tripline-benches --package tripline-ingest --package tripline-publish"
    _run([cargo, *f"build --quiet --release {packages} --bins".split()], ROOT, "Rust")
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def _build_go(target: Path, _python: Path) -> Path:
    _run(["go", "build", "-o", str(target / "golambda"), "."], HERE / "go", "Go 1.24 or later")
    return target / "golambda"


def _build_benthos(target: Path, _python: Path) -> Path:
    # One of its packages reaches into the runtime, which linkers have refused since Go 1.23.
    command = ["go", "build", "-ldflags=-checklinkname=0", "-o", str(target / "benthos"), "."]
    _run(command, HERE / "benthos", "Go 1.24 or later")
    return target / "benthos"


def _build_flink(target: Path, _python: Path) -> Path:
    if shutil.which("java") is None:
        raise Missing("there is no java: install a JDK 17")
    home = target / "flink"
    _run(["mvn", "--quiet", "--batch-mode", "package", f"-Dbuild.root={home}"], HERE / "flink", "Maven and a JDK 17")
    return home


BUILDS: dict[str, Callable[[Path, Path], Path]] = {
    "python": _build_python,
    "rust": _build_rust,
    "go": _build_go,
    "benthos": _build_benthos,
    "flink": _build_flink,
}


def _run(command: list[str], folder: Path, needs: str) -> None:
    if shutil.which(command[0]) is None:
        raise Missing(f"there is no {command[0]}: install {needs}")
    print(f"building: {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = "\n    ".join(done.stdout.strip().splitlines()[-5:])
        raise Missing(f"{command[0]} could not build it:\n    {last}")

"""Lakes made by the `tripline` tool from the shipped real trips, for other readers to open."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAXI = ROOT / "pipelines" / "taxi"
SAMPLE = TAXI / "sample"
TRIPLINE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tripline"
# What the variables of a server begin with.
PREFIXES = {"s3": "S3", "opensearch": "OS"}


def tripline(*arguments, check=True, **environment):
    """Runs the tool and returns its standard output."""
    done = subprocess.run(
        [TRIPLINE, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done if not check else done.stdout


def run(lake, *more, pipeline=TAXI, source=SAMPLE, **environment):
    """Runs the sample trips, or another source, into a lake."""
    return tripline("run", "--pipeline", pipeline, "--input", source, "--lake", lake, *more, **environment)


def audit(lake, pipeline=TAXI, **environment):
    """Audits a lake; fails unless it is clean."""
    return tripline("audit", "--pipeline", pipeline, "--lake", lake, **environment)


@pytest.fixture(scope="session")
def folder_lake(tmp_path_factory):
    """The sample trips in a folder, partitioned as shipped: 1,517 hours of boroughs."""
    lake = tmp_path_factory.mktemp("lake")
    run(lake)
    return lake


@pytest.fixture(scope="session")
def daily(tmp_path_factory):
    """The taxi pipeline without its innermost level: the same rows in a tenth of the files, for tests
    that are not about hours."""
    folder = tmp_path_factory.mktemp("pipelines") / "taxi"
    shutil.copytree(TAXI, folder, ignore=shutil.ignore_patterns("sample"))
    file = folder / "pipeline.toml"
    text, hour = file.read_text(), '  { name = "hour", time = "hour" },\n'
    assert text.count(hour) == 1
    file.write_text(text.replace(hour, ""))
    return folder


class S3Server:
    """A real S3 server; its objects are files that other readers may open."""

    def __init__(self, endpoint, folder):
        self.endpoint, self.folder = endpoint, folder
        self.environment = {
            "TRIPLINE_S3_ENDPOINT": endpoint,
            "AWS_ACCESS_KEY_ID": "AKIDTEST",
            "AWS_SECRET_ACCESS_KEY": "secrettest",
            "AWS_REGION": "us-east-1",
        }


@contextlib.contextmanager
def serving(name, folder, **environment):
    """Starts one of the servers that `make servers` installs, on a port that it yields."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = ROOT / "tests" / "servers" / name / "start.sh"
    variables = {PREFIXES[name] + "_DATA": str(folder), PREFIXES[name] + "_PORT": str(port), **environment}
    log = open(folder / "server.log", "w")
    server = subprocess.Popen(
        ["bash", script, "run"], env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True
    )
    try:
        for _ in range(600):
            if server.poll() is not None:
                reason = (folder / "server.log").read_text()[-2000:]
                if os.environ.get("CI"):
                    pytest.fail(f"the {name} server did not start: {reason}")
                pytest.skip(f"left out: no {name} server: {reason}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A real S3 server with a bucket `trips`."""
    folder = tmp_path_factory.mktemp("s3")
    with serving("s3", folder, S3_BUCKETS="trips") as port:
        yield S3Server(f"http://127.0.0.1:{port}", folder / "buckets" / "trips")


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory):
    """The address of a real OpenSearch of one node."""
    with serving("opensearch", tmp_path_factory.mktemp("opensearch")) as port:
        url = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(f"{url}/_cluster/health?wait_for_status=yellow&timeout=60s").close()
        yield url

"""Deployments as infra/contract.json has them, played on real servers: which function calls what."""

import base64
import copy
import json
import os
import pathlib
import shutil
import subprocess
import time

from function import Function, Server
from recorder import LambdaApi, Recorder
from template import ACCOUNT, REGION

ROOT = pathlib.Path(__file__).parents[2]
CONTRACT = json.loads((ROOT / "infra/contract.json").read_text())
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug"

NAME = "tripline-trips"
BUCKET = f"{NAME}-lake-{ACCOUNT}-{REGION}"
PREFIX = "taxi"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}"
SINK_STREAM = "trips-clean"
DOMAIN = f"arn:aws:es:{REGION}:{ACCOUNT}:domain/{NAME}"
ARCHIVE = "archive"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secrettest", "AWS_REGION": REGION}
OLD = 30 * 24 * 3600

# Functions of each shape, and what a function feeds besides.
SHAPES = {
    "quickstart": {"ingest": []},
    "private": {"lake": [], "search": ["search"]},
    "full": {"ingest": ["search", "stream", "backfill"]},
}


def function_arn(name):
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-{name}"


def sample(name):
    """An event of events/, of this deployment's stream."""
    event = json.loads((ROOT / f"events/kinesis-{name}.json").read_text())
    for record in event["Records"]:
        record["eventSourceARN"] = STREAM
    return event


def with_member(event, after, value):
    """Its first trip once more, behind `after`, with a member that the pipeline leaves alone."""
    record = copy.deepcopy(event["Records"][0])
    trip = json.loads(base64.b64decode(record["kinesis"]["data"]))
    record["kinesis"]["data"] = base64.b64encode(json.dumps(trip | {"remark": value}).encode()).decode()
    last = max(int(one["kinesis"]["sequenceNumber"]) for one in after["Records"])
    record["kinesis"]["sequenceNumber"] = str(last + 1)
    record["eventID"] = f"{record['eventID'].split(':')[0]}:{last + 1}"
    return {"Records": [record]}


class Servers:
    """One of each, for all deployments. Each deployment begins with an empty lake."""

    def __init__(self):
        self.running = []
        try:
            self.s3 = self.start("s3", "S3_PORT", S3_BUCKETS=f"{BUCKET} {ARCHIVE}", S3_REGION=REGION, S3_VERSIONS="1")
            self.kinesis = self.start("kinesis", "KINESIS_PORT", KINESIS_STREAMS=f"{SINK_STREAM}:2")
            self.search = self.start("opensearch", "OS_PORT")
            for server in self.running:
                server.wait()
            self.fill_archive()
        except BaseException:
            self.close()
            raise

    def start(self, name, port_variable, **variables):
        self.running.append(Server(name, port_variable, **variables))
        return self.running[-1]

    def close(self):
        for server in self.running:
            server.close()

    def s3_request(self, *arguments):
        """As the bucket's owner, beside the functions: curl signs."""
        target, *options = arguments
        command = ["curl", "-fsS", "--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", "AKIDTEST:secrettest"]
        command += ["-D", "-", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", f"http://127.0.0.1:{self.s3.port}/{target}", *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def fill_archive(self):
        """Two objects to be taken in, one of them with a version to name."""
        versioning = '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
        self.s3_request(f"{ARCHIVE}?versioning=", "-X", "PUT", "-d", versioning)
        trips = [base64.b64decode(record["kinesis"]["data"]).decode() for record in sample("trips")["Records"]]
        body = "".join(f"{trip}\n" for trip in trips)
        heads = [self.s3_request(f"{ARCHIVE}/trips/{name}.json", "-X", "PUT", "--data-binary", body) for name in ("one", "two")]
        versions = [line.split(":", 1)[1].strip() for line in heads[1].splitlines() if line.lower().startswith("x-amz-version-id:")]
        (self.version,) = versions

    def lake(self):
        return self.s3.data / "buckets" / BUCKET / PREFIX

    def empty_lake(self):
        shutil.rmtree(self.s3.data / "buckets" / BUCKET)
        shutil.rmtree(self.s3.data / "meta" / BUCKET, ignore_errors=True)
        (self.s3.data / "buckets" / BUCKET).mkdir()

    def age_journal(self):
        """As if its entries were of last month."""
        then = time.time() - OLD
        entries = [file for file in (self.lake() / "_journal").rglob("*") if file.is_file()]
        for file in entries:
            os.utime(file, (then, then))
        return len(entries)

    def lose_uploads(self):
        """Uploads that are under way are gone, as by the bucket's lifecycle."""
        found = [folder for folder in (self.s3.data / "buckets" / BUCKET).rglob("multipart") if folder.is_dir()]
        for folder in found:
            shutil.rmtree(folder)
        return found


class Deployment:
    """Functions of a shape, each with recorders of its own; `calls` has what each has asked."""

    def __init__(self, shape, servers):
        self.functions, self.servers = SHAPES[shape], servers
        self.calls = {name: [] for name in [*self.functions, "publish"]}
        self.refused = lambda call: False
        self.open = []

    def variables(self, name):
        """Those of the contract, and where the servers are."""
        calls, variables = self.calls[name], dict(CONTRACT["environment"]["fixed"][name])
        s3 = self.kept(Recorder(self.servers.s3.port, calls))
        s3.refuses = lambda call: self.refused(call)
        variables |= KEYS | {
            "TRIPLINE_LAKE": f"s3://{BUCKET}/{PREFIX}",
            "TRIPLINE_PIPELINE": str(ROOT / "pipelines/taxi"),
            "TRIPLINE_S3_ENDPOINT": s3.url,
            "TRIPLINE_S3_PATH_STYLE": "true",
        }
        if name != "publish":
            mapping = CONTRACT["mapping"]["kinesis"] | {"UUID": "0", "State": "Enabled", "EventSourceArn": STREAM, "FunctionArn": function_arn(name)}
            variables["AWS_ENDPOINT_URL_LAMBDA"] = self.kept(LambdaApi(mapping, calls)).url
        feeds = self.functions.get(name, [])
        if "search" in feeds:
            variables |= CONTRACT["environment"]["fixed"]["search"] if name == "search" else {
                key: value for key, value in CONTRACT["environment"]["fixed"]["search"].items() if key.startswith("TRIPLINE_OPENSEARCH_")
            }
            variables["TRIPLINE_OPENSEARCH_URL"] = self.kept(Recorder(self.servers.search.port, calls)).url
            variables["TRIPLINE_OPENSEARCH_REGION"] = REGION
        if "stream" in feeds:
            variables["TRIPLINE_KINESIS_STREAM"] = SINK_STREAM
            variables["TRIPLINE_KINESIS_ENDPOINT"] = self.kept(Recorder(self.servers.kinesis.port, calls)).url
        return variables

    def kept(self, closed_later):
        self.open.append(closed_later)
        return closed_later

    def start(self, name):
        own = CONTRACT["functions"]["publish" if name == "publish" else "ingest"]
        binary = TARGET / ("publish" if name == "publish" else "ingest")
        return self.kept(Function(binary, function_arn(name), own["timeout"], self.variables(name)))

    def close(self):
        for one in reversed(self.open):
            one.close()

    def play(self):
        """What happens in the life of a deployment. Returns what the functions answered last, for a look at it."""
        # Whoever comes first proves the store.
        for name in self.calls:
            self.servers.empty_lake()
            self.start(name).invoke(sample("trips") if name != "publish" else {})
        self.servers.empty_lake()
        trips, poison = sample("trips"), sample("poison")
        remarks = [with_member(trips, after, value) for after, value in ((trips, "text"), (with_member(trips, trips, ""), {"a": 1}))]
        answers = {}
        for name, feeds in self.functions.items():
            first = self.start(name)
            for event in (trips, trips, sample("recut"), poison, *remarks):
                answers[name] = first.invoke(event)
                assert not answers[name]["batchItemFailures"], f"{name}: {answers[name]}"
            # A cold one, to which all that comes again.
            second = self.start(name)
            for event in (trips, poison, remarks[1]):
                second.invoke(event)
            if "backfill" in feeds:
                self.backfill(second)
        answers["publish"] = self.publish()
        for name in self.functions:
            # The journal behind its beginning is gone: the checkpoint knows where it ended.
            self.start(name).invoke(sample("late"))
        self.start("publish").invoke({})
        return answers

    def backfill(self, function):
        direct = function.invoke({"backfill": {"objects": [f"s3://{ARCHIVE}/trips/one.json"]}})
        assert direct["done"] and direct["records"], direct
        told = {"bucket": {"name": ARCHIVE}, "object": {"key": "trips/two.json", "size": 1, "eTag": "0", "versionId": self.servers.version}}
        notified = function.invoke({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": told}]})
        assert notified["done"] and notified["records"], notified

    def publish(self):
        """Uploads are committed and cannot be completed; then they are gone; then entries grow old."""
        self.refused = lambda call: call.method == "POST" and "uploadId" in call.query
        how, error = self.start("publish").ask({})
        assert how == "error", error
        self.refused = lambda call: False
        assert self.servers.lose_uploads(), "no upload is pending"
        publish = self.start("publish")
        published = publish.invoke({})
        assert self.servers.age_journal(), "nothing is in the journal"
        deleted = publish.invoke({})
        assert deleted["deleted"], deleted
        return published, deleted

#!/usr/bin/env python3
"""Puts the quickstart up on moto, an emulator of AWS, compares what is there with the contract, and destroys it.

usage: apply.py INFRA

INFRA is a copy of the folder infra: what Terraform writes stays in it. Needs terraform, and boto3 and moto beside this
Python.

moto runs no function and evaluates no condition of a policy: this shows that what Terraform asks for is taken and stored
as meant, not that AWS lets it work.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile

import boto3

NAME = "tripline-trips"
REGION = "eu-central-1"

# What moto can make and not delete. On AWS it goes with its workgroup, too.
UNDELETABLE = ["module.lake.aws_athena_named_query.this"]

# Seconds for one command.
PATIENCE = 240

# What moto does not give back, and Terraform therefore wants to change: nothing of ours.
DRIFT = {
    "aws_lambda_function": {"logging_config"},
    "aws_kinesis_stream": {"tags_all", "tags"},
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start_moto():
    port = free_port()
    command = pathlib.Path(sys.executable).parent / "moto_server"
    server = subprocess.Popen([command, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=2).close()
            return server, url
        except OSError:
            if server.poll() is not None:
                sys.exit("moto ended at its start")
            time.sleep(0.5)
    server.terminate()
    sys.exit("moto does not answer")


def packages(folder):
    folder.mkdir()
    for function in ("ingest", "publish"):
        with zipfile.ZipFile(folder / f"{function}.zip", "w") as archive:
            archive.writestr("bootstrap", f"{function}\n")
    return folder


class Check:
    """Compares, and tells all differences in the end."""

    def __init__(self):
        self.compared, self.differences = 0, []

    def equal(self, what, found, expected):
        self.compared += 1
        if found != expected:
            self.differences.append(f"{what}: found {found!r}, expected {expected!r}")

    def end(self):
        if self.differences:
            sys.exit("\n".join(self.differences))


def clients():
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    return lambda service: session.client(service)


def actions(policy):
    """The actions of each statement, as the contract has them."""
    found = {}
    for statement in policy["Statement"]:
        listed = statement["Action"]
        found[statement["Sid"]] = sorted([listed] if isinstance(listed, str) else listed)
    return found


def compare(check, client, contract, outputs):
    functions, mapping_of = contract["functions"], contract["mapping"]["kinesis"]
    bucket = outputs["lake"]["value"].split("/")[2]

    lambdas = client("lambda")
    ingest = lambdas.get_function_configuration(FunctionName=f"{NAME}-ingest")
    publish = lambdas.get_function_configuration(FunctionName=f"{NAME}-publish")
    for what, function, own in (("ingest", ingest, functions["ingest"]), ("publish", publish, functions["publish"])):
        check.equal(f"{what}: runtime", function["Runtime"], functions["runtime"])
        check.equal(f"{what}: timeout", function["Timeout"], own["timeout"])
        check.equal(f"{what}: memory", function["MemorySize"], own["memory"])
    check.equal(
        "ingest: variables",
        ingest["Environment"]["Variables"],
        {"TRIPLINE_LAKE": f"s3://{bucket}/taxi", "TRIPLINE_PARTIAL_RESPONSES": "true", "TRIPLINE_CHECK_MAPPING": "true"},
    )
    check.equal("publish: variables", publish["Environment"]["Variables"], {"TRIPLINE_LAKE": f"s3://{bucket}/taxi"})
    concurrency = lambdas.get_function_concurrency(FunctionName=f"{NAME}-publish")
    check.equal("publish: reserved concurrency", concurrency["ReservedConcurrentExecutions"], functions["publish"]["reserved_concurrency"])

    mappings = lambdas.list_event_source_mappings()["EventSourceMappings"]
    check.equal("mappings", len(mappings), 1)
    stream = client("kinesis").describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    for mapping in mappings:
        for setting, expected in mapping_of.items():
            check.equal(f"mapping: {setting}", mapping.get(setting), expected)
        check.equal("mapping: stream", mapping["EventSourceArn"], stream["StreamARN"])
        check.equal("mapping: on failure", mapping["DestinationConfig"]["OnFailure"]["Destination"], outputs["failure_bucket_arn"]["value"])
    check.equal("stream: encryption", stream["EncryptionType"], "KMS")
    check.equal("stream: mode", stream["StreamModeDetails"]["StreamMode"], "ON_DEMAND")

    schedule = client("scheduler").get_schedule(Name=f"{NAME}-publish")
    check.equal("schedule", schedule["ScheduleExpression"], f"rate({contract['schedule']['every_minutes']} minutes)")
    check.equal("schedule: target", schedule["Target"]["Arn"], publish["FunctionArn"])

    s3 = client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    conditions = {}
    for statement in policy["Statement"]:
        check.equal(f"bucket policy: {statement['Sid']}", statement["Effect"], "Deny")
        if "Null" in statement["Condition"]:
            conditions[statement["Resource"].split("/taxi/")[1]] = sorted(statement["Condition"]["Null"])
    check.equal("bucket policy: conditions", conditions, contract["bucket"]["conditional_writes"])
    for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]:
        prefix = rule.get("Filter", {}).get("Prefix", "")
        if "Expiration" in rule:
            check.equal(f"lifecycle: {rule['ID']}", prefix, "athena-results/")
        if "AbortIncompleteMultipartUpload" in rule:
            days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
            check.equal("lifecycle: uploads", days >= contract["bucket"]["abort_incomplete_multipart_upload_least_days"], True)
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    check.equal("public access", set(block.values()), {True})

    iam = client("iam")
    for function in ("ingest", "publish"):
        role = f"{NAME}-{function}"
        check.equal(f"{role}: policies", iam.list_role_policies(RoleName=role)["PolicyNames"], [function])
        check.equal(f"{role}: managed policies", iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"], [])
        found = iam.get_role_policy(RoleName=role, PolicyName=function)["PolicyDocument"]
        check.equal(f"{role}: actions", actions(found), {sid: sorted(listed) for sid, listed in contract["iam"][function].items()})

    tables = {table["Name"]: table for table in client("glue").get_tables(DatabaseName=NAME.replace("-", "_"))["TableList"]}
    shipped = json.loads((INFRA / "terraform/tables/taxi.json").read_text())
    check.equal("tables", sorted(tables), sorted(shipped))
    for name, table in tables.items():
        columns = [{"name": column["Name"], "type": column["Type"]} for column in table["StorageDescriptor"]["Columns"]]
        check.equal(f"table {name}: columns", columns, shipped[name]["columns"])
        levels = [key["Name"] for key in table["PartitionKeys"]]
        check.equal(f"table {name}: levels", levels, [level["name"] for level in shipped[name]["partitions"]])
        template = "".join(f"{level}=${{{level}}}/" for level in levels)
        check.equal(f"table {name}: places", table["Parameters"]["storage.location.template"], f"s3://{bucket}/taxi/{name}/{template}")

    cloudwatch = client("cloudwatch")
    alarms = {alarm["AlarmName"].removeprefix(f"{NAME}-"): alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    expected = {name.replace("/", "-"): alarm for name, alarm in contract["alarms"].items()}
    check.equal("alarms", sorted(alarms), sorted(expected))
    for name, alarm in alarms.items():
        found = {
            "metric": alarm["MetricName"],
            "threshold": alarm["Threshold"],
            "comparison": alarm["ComparisonOperator"],
            "missing": alarm["TreatMissingData"],
        }
        check.equal(f"alarm {name}", found, expected.get(name))
    dashboard = json.loads(cloudwatch.get_dashboard(DashboardName=NAME)["DashboardBody"])
    check.equal("dashboard: widgets", len(dashboard["widgets"]) >= 8, True)


def left(client):
    """Everything of ours that is still there."""
    s3, iam, logs = client("s3"), client("iam"), client("logs")
    return {
        "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
        "functions": [function["FunctionName"] for function in client("lambda").list_functions()["Functions"]],
        "mappings": client("lambda").list_event_source_mappings()["EventSourceMappings"],
        "streams": client("kinesis").list_streams()["StreamNames"],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"]],
        "log groups": [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]],
        "metric filters": logs.describe_metric_filters()["metricFilters"],
        "databases": [database["Name"] for database in client("glue").get_databases()["DatabaseList"]],
        "alarms": client("cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": client("cloudwatch").list_dashboards()["DashboardEntries"],
        "schedules": client("scheduler").list_schedules()["Schedules"],
        "topics": client("sns").list_topics()["Topics"],
        "workgroups": [group["Name"] for group in client("athena").list_work_groups()["WorkGroups"] if group["Name"] != "primary"],
    }


def drift(plan):
    """What a second apply would change, but for what moto does not give back."""
    found = []
    for change in plan.get("resource_changes", []):
        if change["change"]["actions"] in (["no-op"], ["read"]):
            continue
        before, after = change["change"]["before"] or {}, change["change"]["after"] or {}
        names = {name for name in set(before) | set(after) if before.get(name) != after.get(name)}
        names -= DRIFT.get(change["type"], set()) | set(change["change"].get("after_unknown") or {})
        if names or change["change"]["actions"] != ["update"]:
            found.append(f"{change['address']}: {change['change']['actions']} {sorted(names)}")
    return found


def main():
    example = INFRA / "terraform/examples/kinesis-quickstart"
    contract = json.loads((INFRA / "contract.json").read_text())
    (example / "moto_override.tf").write_text(
        'provider "aws" {\n'
        "  skip_credentials_validation = true\n"
        "  skip_metadata_api_check     = true\n"
        "  s3_use_path_style           = true\n"
        # What moto does not know it answers like a fault that passes.
        "  max_retries                 = 3\n"
        "}\n"
    )
    server, url = start_moto()
    os.environ.update(
        AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION=REGION,
        TF_VAR_package_folder=str(packages(INFRA / "packages")),
    )

    def terraform(*arguments):
        began = time.monotonic()
        command = ["terraform", f"-chdir={example}", *arguments, "-no-color"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            sys.exit(f"terraform {arguments[0]} takes longer than {PATIENCE} s:\n{(error.stdout or b'').decode()[-4000:]}")
        if done.returncode:
            sys.exit(f"terraform {' '.join(arguments)}:\n{done.stdout[-4000:]}\n{done.stderr}")
        print(f"  terraform {arguments[0]}: {time.monotonic() - began:.0f} s", flush=True)
        return done.stdout

    try:
        print("apply on moto", flush=True)
        terraform("init", "-input=false")
        terraform("apply", "-auto-approve", "-input=false")
        outputs = json.loads(terraform("output", "-json"))
        client, check = clients(), Check()
        compare(check, client, contract, outputs)
        terraform("plan", "-out=second", "-input=false")
        check.equal("a second apply changes", drift(json.loads(terraform("show", "-json", "second"))), [])
        terraform("state", "rm", *UNDELETABLE)
        terraform("destroy", "-auto-approve", "-input=false")
        for what, found in left(client).items():
            check.equal(f"left after destroy: {what}", found, [])
        check.end()
        print(f"  {check.compared} settings read back and compared; nothing is left")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    INFRA = pathlib.Path(sys.argv[1]).resolve()
    main()

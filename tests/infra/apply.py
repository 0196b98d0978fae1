#!/usr/bin/env python3
"""Puts two examples up on moto, an emulator of AWS, compares what is there with the contract, and destroys them.

usage: apply.py INFRA

INFRA is a copy of the folder infra: what Terraform writes stays in it. Needs terraform, and boto3 and moto beside this
Python.

moto runs no function and evaluates no condition of a policy: this shows that what Terraform asks for is taken and stored
as meant, not that AWS lets it work.
"""

import concurrent.futures
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
ACCOUNT = "123456789012"  # moto's

# What moto can make and not delete. On AWS it goes with its workgroup, too.
UNDELETABLE = ["module.lake.aws_athena_named_query.this"]

# Seconds for one command.
PATIENCE = 240

# What moto does not give back, and Terraform therefore wants to change: nothing of ours.
DRIFT = {
    "aws_lambda_function": {"logging_config"},
    "aws_kinesis_stream": {"tags_all", "tags"},
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
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
    """Compares, and keeps what differs."""

    def __init__(self):
        self.compared, self.differences = 0, []

    def equal(self, what, found, expected):
        self.compared += 1
        if found != expected:
            self.differences.append(f"{what}: found {found!r}, expected {expected!r}")


class Failed(Exception):
    """Terraform did not do it."""


def actions(policy):
    """The actions of each statement, as the contract has them."""
    found = {}
    for statement in policy["Statement"]:
        listed = statement["Action"]
        found[statement["Sid"]] = sorted([listed] if isinstance(listed, str) else listed)
    return found


def compare_quickstart(check, client, outputs):
    contract = CONTRACT
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
    check.equal("publish: reserved concurrency", concurrency.get("ReservedConcurrentExecutions"), None)

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
        check.equal(f"{role}: actions", actions(found), {sid: sorted(may["actions"]) for sid, may in contract["iam"][function].items()})

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
            "statistic": alarm["Statistic"],
            "period": alarm["Period"],
            "periods": alarm["EvaluationPeriods"],
            "datapoints": alarm["DatapointsToAlarm"],
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
        "vpcs": [vpc["VpcId"] for vpc in client("ec2").describe_vpcs()["Vpcs"]],
        "endpoints": [found["ServiceName"] for found in client("ec2").describe_vpc_endpoints()["VpcEndpoints"] if found["State"] != "deleted"],
        "security groups": [group["GroupId"] for group in client("ec2").describe_security_groups()["SecurityGroups"]],
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


class Deployment:
    """An example on a moto of its own."""

    def __init__(self, example):
        self.folder = INFRA / "terraform/examples" / example
        self.example = example
        self.server, self.url = start_moto()
        self.environment = os.environ | {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
        }
        (self.folder / "moto_override.tf").write_text(
            'provider "aws" {\n'
            "  skip_credentials_validation = true\n"
            "  skip_metadata_api_check     = true\n"
            "  s3_use_path_style           = true\n"
            # What moto does not know it answers like a fault that passes.
            "  max_retries                 = 3\n"
            "}\n"
        )

    def end(self):
        self.server.terminate()
        self.server.wait()

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def terraform(self, *arguments):
        began = time.monotonic()
        command = ["terraform", f"-chdir={self.folder}", *arguments, "-no-color"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=self.environment)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.example}: terraform {arguments[0]} takes longer than {PATIENCE} s:\n{(error.stdout or b'').decode()[-4000:]}")
        if done.returncode:
            raise Failed(f"{self.example}: terraform {' '.join(arguments)}:\n{done.stdout[-4000:]}\n{done.stderr}")
        if arguments[0] in ("apply", "destroy"):
            print(f"  {self.example}: {arguments[0]}, {time.monotonic() - began:.0f} s", flush=True)
        return done.stdout

    def play(self, variables, compare):
        """Applies, compares, plans again, destroys, and looks for what is left. Returns the check."""
        (self.folder / "moto.auto.tfvars.json").write_text(json.dumps(variables))
        check, before = Check(), left(self.client)
        self.terraform("init", "-input=false")
        self.terraform("apply", "-auto-approve", "-input=false")
        outputs = json.loads(self.terraform("output", "-json"))
        compare(check, self.client, outputs)
        self.terraform("plan", "-out=second", "-input=false")
        check.equal("a second apply changes", drift(json.loads(self.terraform("show", "-json", "second"))), [])
        resources = self.terraform("state", "list").split()
        for address in resources:
            if address.split("[")[0] in UNDELETABLE:
                self.terraform("state", "rm", address)
        self.terraform("destroy", "-auto-approve", "-input=false")
        after = left(self.client)
        for what, found in after.items():
            check.equal(f"left after destroy: {what}", found, before[what])
        check.resources = len(resources)
        return check


def quickstart():
    deployment = Deployment("kinesis-quickstart")
    try:
        return deployment.play({"package_folder": PACKAGES}, compare_quickstart)
    finally:
        deployment.end()


def existing():
    """Into a VPC, beside a stream and a cluster that are there, with a function each for lake and search."""
    deployment = Deployment("existing")
    try:
        client = deployment.client
        client("kinesis").create_stream(StreamName="ours", ShardCount=1)
        for bucket in ("ours", "ours-failed"):
            client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        topic = client("sns").create_topic(Name="ours")["TopicArn"]
        ec2 = client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
        tables = [table["RouteTableId"] for table in ec2.describe_route_tables()["RouteTables"]]
        variables = {
            "name": "ours",
            "package_folder": PACKAGES,
            "source_stream": {"arn": client("kinesis").describe_stream_summary(StreamName="ours")["StreamDescriptionSummary"]["StreamARN"]},
            "bucket": "ours",
            "prefix": "lakes/trips",
            "search": {"url": "https://vpc-ours.eu-central-1.es.amazonaws.com", "arn": f"arn:aws:es:{REGION}:{ACCOUNT}:domain/ours"},
            "vpc": {"vpc_id": vpc, "subnet_ids": subnets, "route_table_ids": tables},
            "s3_endpoint": True,
            "endpoints": ["lambda"],
            "failure_bucket_arn": "arn:aws:s3:::ours-failed",
            "alarm_topic_arn": topic,
        }

        def compare(check, client, outputs):
            lambdas, mapping_of = client("lambda"), CONTRACT["mapping"]["kinesis"]
            own = {"TRIPLINE_LAKE": "s3://ours/lakes/trips", "TRIPLINE_PARTIAL_RESPONSES": "true", "TRIPLINE_CHECK_MAPPING": "true"}
            for function, more in {
                "lake": {"TRIPLINE_SINKS": "lake"},
                "search": {
                    "TRIPLINE_SINKS": "search", "TRIPLINE_LAKE_ELSEWHERE": "true", "TRIPLINE_OPENSEARCH_URL": variables["search"]["url"],
                    "TRIPLINE_OPENSEARCH_AUTH": "sigv4", "TRIPLINE_OPENSEARCH_SERVICE": "es",
                },
            }.items():
                found = lambdas.get_function_configuration(FunctionName=f"ours-{function}")
                check.equal(f"{function}: variables", found["Environment"]["Variables"], own | more)
                check.equal(f"{function}: subnets", sorted(found["VpcConfig"]["SubnetIds"]), sorted(subnets))
                check.equal(f"{function}: groups", found["VpcConfig"]["SecurityGroupIds"], [outputs["function_security_group_id"]["value"]])
                policy = client("iam").get_role_policy(RoleName=f"ours-{function}", PolicyName="ingest")["PolicyDocument"]
                indexes = {statement["Resource"] for statement in policy["Statement"] if statement["Sid"] == "Index"}
                check.equal(f"{function}: may index", indexes, {f"{variables['search']['arn']}/_bulk"} if function == "search" else set())
                everyone = lambdas.list_event_source_mappings()["EventSourceMappings"]
                mappings = [mapping for mapping in everyone if mapping["FunctionArn"] == found["FunctionArn"]]
                check.equal(f"{function}: mappings", len(mappings), 1)
                for mapping in mappings:
                    for setting, expected in mapping_of.items():
                        check.equal(f"{function}: {setting}", mapping.get(setting), expected)
            concurrency = lambdas.get_function_concurrency(FunctionName="ours-publish")["ReservedConcurrentExecutions"]
            check.equal("publish: reserved concurrency", concurrency, CONTRACT["functions"]["publish"]["reserved_concurrency"])
            endpoints = {endpoint["ServiceName"].split(".")[-1]: endpoint for endpoint in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
            check.equal("endpoints", sorted(endpoints), ["lambda", "s3"])
            check.equal("endpoint lambda: private DNS", endpoints["lambda"]["PrivateDnsEnabled"], True)
            for name, endpoint in endpoints.items():
                for statement in json.loads(endpoint["PolicyDocument"])["Statement"]:
                    owner = statement["Condition"]["StringEquals"]["aws:PrincipalAccount"]
                    check.equal(f"endpoint {name}: {statement['Sid']}", owner, ACCOUNT)
            group = outputs["function_security_group_id"]["value"]
            rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
            inward = [rule for rule in rules if not rule["IsEgress"]]
            check.equal("functions: ways in", inward, [])

        return deployment.play(variables, compare)
    finally:
        deployment.end()


def main():
    print("apply on moto", flush=True)
    # Side by side: most of the time is waits of the provider's.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(quickstart), pool.submit(existing)]
    failures = []
    for one in running:
        try:
            check = one.result()
            failures += check.differences
            print(f"  {check.resources} resources, {check.compared} settings read back and compared")
        except Failed as failure:
            failures.append(str(failure))
    if failures:
        sys.exit("\n".join(failures))
    print("  nothing is left")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    INFRA = pathlib.Path(sys.argv[1]).resolve()
    CONTRACT = json.loads((INFRA / "contract.json").read_text())
    PACKAGES = str(packages(INFRA / "packages"))
    main()

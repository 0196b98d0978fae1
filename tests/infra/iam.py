#!/usr/bin/env python3
"""What the functions ask of AWS is what their roles allow, and their roles allow nothing else.

The real binaries work on real servers as Lambda would have them work (deployment.py). Every call that they send is noted,
as IAM would see it (policy.py), and judged by the policies of CDK's templates and of Terraform's modules (rights.py):

TRIPLINE_CDK              a folder with synthesized templates, as test_cdk.py wants it
TRIPLINE_TERRAFORM        what `terraform test -json -verbose` says of iam.tftest.hcl

run.sh makes both. Kafka's rights are not looked at: no server here knows them.
"""

import functools
import json
import os
import pathlib
import unittest

from deployment import BUCKET, DOMAIN, NAME, TARGET, Deployment, Servers, function_arn
from function import Unavailable
from policy import Request, allows, applying, holds, listed, request_of
from rights import S3, UNUSED, changed, examples, faults, kinds, place_of, told
from template import ACCOUNT, Template

CDK = os.environ.get("TRIPLINE_CDK")
TERRAFORM = os.environ.get("TRIPLINE_TERRAFORM")
PARAMETERS = {
    "PackageBucket": "packages",
    "PackagePrefix": "1/",
    "S3PrefixList": "pl-0123456789abcdef0",
    "SearchMasterArn": f"arn:aws:iam::{ACCOUNT}:role/admin",
}


class Policies:
    """The policies of a shape, made by somebody: statements by role, those of the lake's bucket, of the domain, of ways out of a VPC."""

    def __init__(self, roles, bucket, domain=(), ways=None):
        self.roles, self.bucket, self.ways = roles, bucket, ways or {}
        # What the domain lets each role do.
        self.domain = {
            role: [statement for statement in domain if f"arn:aws:iam::{ACCOUNT}:role/{NAME}-{role}" in listed(statement["Principal"]["AWS"])]
            for role in roles
        }


def of_template(file):
    template = Template(file, PARAMETERS)
    roles = {
        policy["RoleName"].removeprefix(f"{NAME}-"): list(policy["PolicyDocument"]["Statement"])
        for policy in template.of("AWS::IAM::RolePolicy").values()
    }
    domain = [statement for one in template.of("AWS::OpenSearchService::Domain").values() for statement in one["AccessPolicies"]["Statement"]]
    (bucket,) = (one["PolicyDocument"]["Statement"] for one in template.of("AWS::S3::BucketPolicy").values() if one["Bucket"] == BUCKET)
    ways = {one["ServiceName"].split(".")[-1]: one["PolicyDocument"]["Statement"] for one in template.of("AWS::EC2::VPCEndpoint").values()}
    return Policies(roles, bucket, domain, ways)


TERRAFORM_POLICIES = {"aws_iam_role_policy": "policy", "aws_s3_bucket_policy": "policy", "aws_opensearch_domain_policy": "access_policies"}


def of_terraform(file):
    """By shape."""
    runs = {}
    with open(file) as lines:
        for line in lines:
            message = json.loads(line)
            if message["type"] == "test_state":
                runs[message["@testrun"]] = message["test_state"]["root_module"]["resources"]
    statements = {
        run: {
            resource["address"]: json.loads(resource["values"][member])["Statement"]
            for resource in resources
            if (member := TERRAFORM_POLICIES.get(resource["type"]))
        }
        for run, resources in runs.items()
    }
    (bucket,), (domain,) = (statements.pop(run).values() for run in ("lake", "domain"))
    found = {}
    for shape, policies in statements.items():
        # aws_iam_role_policy.ingest["search"], aws_iam_role_policy.publish
        roles = {address.removesuffix('"]').split('["')[-1].split(".")[-1]: of for address, of in policies.items()}
        found[shape] = Policies(roles, bucket, () if shape == "quickstart" else domain)
    return found


@functools.cache
def judged():
    """Policies by who made them and the shape."""
    found = {}
    if CDK:
        for shape, stack in (("quickstart", "TriplineQuickstart"), ("private", "TriplinePrivate")):
            found["CDK's app", shape] = of_template(pathlib.Path(CDK) / f"app/{stack}.template.json")
            found["the template", shape] = of_template(pathlib.Path(CDK) / f"template/kinesis-{shape}.template.json")
    if TERRAFORM:
        for shape, policies in of_terraform(TERRAFORM).items():
            found["Terraform", shape] = policies
    return found


def of_each_policy(test):
    @functools.wraps(test)
    def each(self):
        for (by, shape), policies in judged().items():
            with self.subTest(f"{by}: {shape}"):
                test(self, policies, shape)

    return each


def left_out(why):
    """What the tests end with that cannot be done here, unless they must be."""
    print(f"left out: infra: what the roles allow: {why}")
    return AssertionError(why) if os.environ.get("CI") == "true" else unittest.SkipTest(why)


class Iam(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        for binary in ("ingest", "publish"):
            if not (TARGET / binary).exists():
                raise left_out(f"{TARGET / binary} is not built")
        try:
            servers = Servers()
        except Unavailable as error:
            raise left_out(str(error)) from error
        cls.addClassCleanup(servers.close)
        cls.requests = {}
        for shape in sorted({shape for _, shape in judged()}):
            played = Deployment(shape, servers)
            try:
                played.play()
            finally:
                played.close()
            cls.requests[shape] = {
                name: [request_of(call, ACCOUNT, function_arn(name), DOMAIN) for call in calls] for name, calls in played.calls.items()
            }

    def each_request(self, shape):
        for function, requests in self.requests[shape].items():
            self.assertTrue(requests, function)
            for request in requests:
                yield function, request

    @of_each_policy
    def test_every_call_is_allowed_and_nothing_else_is_granted(self, policies, shape):
        for function, requests in self.requests[shape].items():
            with self.subTest(function):
                self.assertEqual(faults(policies.roles[function], policies.domain[function], requests, UNUSED[shape][function]), [])

    @of_each_policy
    def test_a_right_more_or_less_is_noticed(self, policies, shape):
        for function, requests in self.requests[shape].items():
            some = list(kinds(requests).values())
            role, domain = policies.roles[function], policies.domain[function]
            changes = [(change, statements, domain) for change, statements in changed(role)]
            changes += [(f"domain: {change}", role, statements) for change, statements in changed(domain)]
            self.assertGreater(len(changes), 15)
            for change, *statements in changes:
                self.assertTrue(faults(*statements, some, UNUSED[shape][function]), f"{function}: {change}")

    @of_each_policy
    def test_the_bucket_denies_none_of_it(self, policies, shape):
        denied = [request for _, request in self.each_request(shape) if applying(policies.bucket, "Deny", request)]
        self.assertEqual(told("denied", denied), [])

    @of_each_policy
    def test_the_bucket_denies_every_write_of_state_without_its_condition(self, policies, shape):
        writes = [request for _, request in self.each_request(shape) if request.action == "s3:PutObject"]
        plain = {"journal": [], "checkpoint": [], "identity": [], "schemas": [], "probe": []}
        for request in writes:
            plain.setdefault(place_of(request), []).append(request.without("s3:if-none-match", "s3:if-match"))
        for place in ("journal", "checkpoint", "identity", "schemas", "probe"):
            self.assertTrue(plain[place], place)
            for request in plain[place]:
                self.assertTrue(applying(policies.bucket, "Deny", request), request)
        # An entry is never replaced, whatever tag it has.
        for request in plain["journal"]:
            self.assertTrue(applying(policies.bucket, "Deny", request.having({"s3:if-match": "0"})), request)
        # Files of tables take none, nor do their parts.
        creations = {request.context["s3:ObjectCreationOperation"] for request in plain["tables"]}
        self.assertEqual(creations, {"true", "false"})

    @of_each_policy
    def test_the_bucket_denies_what_comes_without_tls(self, policies, shape):
        for _, request in self.each_request(shape):
            if request.resource.startswith(f"{S3}{BUCKET}"):
                self.assertTrue(applying(policies.bucket, "Deny", request.having({"aws:SecureTransport": "false"})), request)
                self.assertTrue(applying(policies.bucket, "Deny", request.having({"s3:TlsVersion": "1.1"})), request)

    @of_each_policy
    def test_the_ways_out_of_a_vpc_let_it_through(self, policies, shape):
        account = {"aws:PrincipalAccount": ACCOUNT, "aws:ResourceAccount": ACCOUNT}
        for function, request in self.each_request(shape) if policies.ways else ():
            service = request.action.split(":")[0]
            if service != "es":  # It is in the VPC.
                self.assertTrue(allows(policies.ways[service], request.having(account)), f"{function}: {request}")

    @of_each_policy
    def test_code_may_not_touch_interfaces(self, policies, shape):
        for function in self.requests[shape]:
            for statement in policies.roles[function]:
                for action in listed(statement["Action"]):
                    if action.startswith("ec2:"):
                        for resource in listed(statement["Resource"]):
                            by_code = Request(action, resource, {"lambda:SourceFunctionArn": function_arn(function)})
                            self.assertFalse(allows(policies.roles[function], by_code), f"{function}: {by_code}")

    def test_what_is_recorded_is_worth_it(self):
        """Each kind of call that the protocol has, of those who make it."""
        expected = {
            "publish": {
                ("s3:DeleteObject", "journal"), ("s3:DeleteObject", "probe"), ("s3:PutObject", "checkpoint"), ("s3:PutObject", "tables"), ("s3:GetObject", "tables"),
            },
            "ingest": {("s3:PutObject", "journal"), ("s3:GetObject", "journal"), ("lambda:ListEventSourceMappings", "everything")},
            "lake": {("s3:PutObject", "journal")},
            "search": {("s3:PutObject", "journal"), ("es:ESHttpPost", "bulk")},
        }
        for shape, functions in self.requests.items():
            for function, requests in functions.items():
                self.assertLessEqual(expected[function], set(kinds(requests)), f"{shape}: {function}")


class Evaluation(unittest.TestCase):
    """The evaluator itself, on what AWS documents."""

    def test_a_denial_outweighs_a_permission(self):
        allow = {"Sid": "a", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
        request = Request("s3:GetObject", "arn:aws:s3:::b/k")
        self.assertTrue(allows([allow], request))
        self.assertFalse(allows([allow, allow | {"Sid": "d", "Effect": "Deny"}], request))
        self.assertFalse(allows([], request))

    def test_all_keys_of_a_condition_must_hold_and_any_of_a_key_s_values(self):
        self.assertTrue(holds({"StringLike": {"k": ["a", "b*"]}}, {"k": "bc"}))
        self.assertFalse(holds({"StringLike": {"k": "a"}, "Bool": {"l": "true"}}, {"k": "a", "l": "false"}))
        self.assertFalse(holds({"StringLike": {"k": "*"}}, {}))
        self.assertTrue(holds({"Null": {"k": "true"}}, {}))
        self.assertFalse(holds({"Null": {"k": "true", "l": "true"}}, {"l": ""}))
        with self.assertRaises(KeyError):
            holds({"IpAddress": {"k": "a"}}, {"k": "a"})

    def test_each_example_lies_in_its_own_place(self):
        for action in ("s3:GetObject", "s3:ListBucket", "kinesis:PutRecords", "es:ESHttpPost", "lambda:ListEventSourceMappings"):
            for place, request in examples(action):
                self.assertEqual(place_of(request), place, action)


if __name__ == "__main__":
    unittest.main()

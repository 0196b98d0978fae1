"""What CDK makes of infra/cdk is what infra/contract.json says, as Terraform's modules are.

TRIPLINE_CDK names a folder with the synthesized templates: `app` of the CDK's app, `template` those for CloudFormation
alone. run.sh makes it.
"""

import functools
import json
import os
import pathlib
import re
import unittest

from template import ACCOUNT, REGION, Template

ROOT = pathlib.Path(__file__).parents[2]
CONTRACT = json.loads((ROOT / "infra/contract.json").read_text())
SYNTHESIZED = os.environ.get("TRIPLINE_CDK")
NAME = "tripline-trips"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-"
BUCKET = f"{NAME}-lake-{ACCOUNT}-{REGION}"
PARAMETERS = {
    "PackageBucket": "packages",
    "PackagePrefix": "1/",
    "S3PrefixList": "pl-0123456789abcdef0",
    "SearchMasterArn": f"arn:aws:iam::{ACCOUNT}:role/admin",
}
# In the private stack, besides those of the functions.
OTHER_ROLES = {"kinesis-quickstart": [], "kinesis-private": ["access", "flow"]}


def listed(value):
    return [value] if isinstance(value, str) else value


def role_key(policy):
    return policy["RoleName"].removeprefix(f"{NAME}-")


def of_each_template(test):
    """Every template, its shape's name and the shape."""

    @functools.wraps(test)
    def each(self):
        for shape, stack in (("kinesis-quickstart", "TriplineQuickstart"), ("kinesis-private", "TriplinePrivate")):
            for file in (f"app/{stack}.template.json", f"template/{shape}.template.json"):
                with self.subTest(file):
                    test(self, Template(pathlib.Path(SYNTHESIZED) / file, PARAMETERS), shape, CONTRACT["shapes"][shape])

    return each


@unittest.skipUnless(SYNTHESIZED, "nothing is synthesized: tests/infra/run.sh does it")
class Cdk(unittest.TestCase):
    def functions(self, template):
        return {function["FunctionName"].removeprefix(f"{NAME}-"): function for function in template.of("AWS::Lambda::Function").values()}

    @of_each_template
    def test_the_functions_are_as_they_should_be(self, template, _name, shape):
        functions = self.functions(template)
        self.assertEqual(sorted(functions), shape["functions"])
        for name, function in functions.items():
            own = CONTRACT["functions"]["publish" if name == "publish" else "ingest"]
            self.assertEqual(function["Runtime"], CONTRACT["functions"]["runtime"])
            self.assertEqual(function["Timeout"], own["timeout"])
            self.assertEqual(function["MemorySize"], own["memory"])
            self.assertEqual(function["Architectures"], ["x86_64"])
            self.assertEqual(function["LoggingConfig"], {"LogFormat": "JSON", "LogGroup": f"/aws/lambda/{NAME}-{name}"})
            self.assertEqual("VpcConfig" in function, shape["key"])
            self.assertEqual("KmsKeyArn" in function, shape["key"])
            self.assertEqual(function["Role"], f"arn:aws:iam::{ACCOUNT}:role/{NAME}-{name}")
        self.assertEqual(functions["publish"].get("ReservedConcurrentExecutions"), shape["publish_concurrency"])

    @of_each_template
    def test_their_variables_are_the_contract_s(self, template, _name, _shape):
        deployment = {"TRIPLINE_LAKE": f"s3://{BUCKET}/taxi", "TRIPLINE_OPENSEARCH_URL": "https://search.example.com"}
        for name, function in self.functions(template).items():
            own = {key: deployment[key] for key in CONTRACT["environment"]["of_the_deployment"][name]}
            self.assertEqual(function["Environment"]["Variables"], CONTRACT["environment"]["fixed"][name] | own, name)

    @of_each_template
    def test_a_mapping_for_each_function_is_the_contract_s(self, template, _name, shape):
        mappings = template.of("AWS::Lambda::EventSourceMapping")
        fed = sorted(mapping["FunctionName"].removeprefix(FUNCTION) for mapping in mappings.values())
        self.assertEqual(fed, [name for name in shape["functions"] if name != "publish"])
        for mapping in mappings.values():
            mapping.pop("Tags", None)
            del mapping["FunctionName"]
            self.assertEqual(
                mapping,
                CONTRACT["mapping"]["kinesis"]
                | {
                    "Enabled": True,
                    "EventSourceArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}",
                    "DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{NAME}-failed-{ACCOUNT}-{REGION}"}},
                    "MetricsConfig": {"Metrics": ["EventCount"]},
                },
            )

    @of_each_template
    def test_nothing_is_made_before_its_rights(self, template, _name, _shape):
        policies = {role_key(policy): key for key, policy in template.of("AWS::IAM::RolePolicy").items()}
        for key, function in template.of("AWS::Lambda::Function").items():
            self.assertIn(policies[function["FunctionName"].removeprefix(f"{NAME}-")], template.depends(key))
        for key, mapping in template.of("AWS::Lambda::EventSourceMapping").items():
            self.assertIn(policies[mapping["FunctionName"].removeprefix(FUNCTION)], template.depends(key))
        for key in template.of("AWS::Scheduler::Schedule"):
            self.assertIn(policies["schedule"], template.depends(key))

    def placeholders(self, template, role, arns):
        """As the contract writes resources."""
        key = next((f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}" for key in template.of("AWS::KMS::Key")), None)
        known = [
            (f"arn:aws:s3:::{BUCKET}/taxi", "{lake}"),
            (f"arn:aws:s3:::{BUCKET}", "{lake_bucket}"),
            (f"arn:aws:s3:::{NAME}-failed-{ACCOUNT}-{REGION}", "{failed}"),
            (f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}", "{stream}"),
            (f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{NAME}-{role}", "{log}"),
            (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-publish", "{publish}"),
            (f"arn:aws:es:{REGION}:{ACCOUNT}:domain/{NAME}", "{search}"),
            (f"arn:aws:ec2:{REGION}:{ACCOUNT}", "{ec2}"),
        ]
        known += [(key, "{key}")] if key else []
        known += [(f":subnet/{subnet}", ":subnet/{subnet}") for subnet in template.of("AWS::EC2::Subnet")]
        known += [(f":security-group/{group}", ":security-group/{group}") for group in template.of("AWS::EC2::SecurityGroup")]
        found = set()
        for arn in listed(arns):
            for concrete, placeholder in known:
                arn = arn.replace(concrete, placeholder)
            found.add(arn)
        return sorted(found)

    @of_each_template
    def test_roles_may_do_what_the_contract_says_and_nothing_else(self, template, name, shape):
        policies = {role_key(policy): policy for policy in template.of("AWS::IAM::RolePolicy").values()}
        roles = [role["RoleName"].removeprefix(f"{NAME}-") for role in template.of("AWS::IAM::Role").values()]
        self.assertEqual(sorted(roles), sorted([*shape["iam"], *OTHER_ROLES[name]]))
        self.assertEqual(sorted(policies), sorted(roles))
        self.assertEqual(len(template.of("AWS::IAM::RolePolicy")), len(policies), "one policy a role")
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::Lambda::Permission"):
            self.assertEqual(template.of(kind), {}, kind)
        for role in template.of("AWS::IAM::Role").values():
            self.assertLessEqual(set(role), {"AssumeRolePolicyDocument", "Description", "RoleName", "Tags"})
        for role, options in shape["iam"].items():
            expected = dict(CONTRACT["iam"][role if role in ("publish", "schedule") else "ingest"])
            for option in options:
                expected |= CONTRACT["iam_options"][option]
            found = {
                statement["Sid"]: {
                    "actions": sorted(listed(statement["Action"])),
                    "resources": self.placeholders(template, role, statement["Resource"]),
                }
                for statement in policies[role]["PolicyDocument"]["Statement"]
            }
            self.assertEqual(found, expected, role)
            for statement in policies[role]["PolicyDocument"]["Statement"]:
                self.assertEqual(statement["Effect"], "Deny" if statement["Sid"] in ("NotByCode", "NeverAppend") else "Allow")
                condition = {
                    "ListLake": {"StringLike": {"s3:prefix": "taxi/*"}},
                    "NotByCode": {"ArnEquals": {"lambda:SourceFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-{role}"}},
                }.get(statement["Sid"])
                self.assertEqual(statement.get("Condition"), condition, statement["Sid"])

    @of_each_template
    def test_no_policy_allows_an_action_with_a_wildcard(self, template, _name, _shape):
        def statements(value):
            if isinstance(value, dict):
                if "Effect" in value and "Action" in value:
                    yield value
                for item in value.values():
                    yield from statements(item)
            elif isinstance(value, list):
                for item in value:
                    yield from statements(item)

        looked_at = 0
        for statement in statements(template.resolve(template.raw["Resources"])):
            looked_at += 1
            wild = [action for action in listed(statement["Action"]) if "*" in action]
            if statement["Effect"] == "Allow" and statement.get("Sid") != "Account":
                self.assertEqual(wild, [], statement)
        self.assertGreater(looked_at, 10)

    @of_each_template
    def test_roles_are_for_one_service_each(self, template, _name, _shape):
        services = {"schedule": "scheduler", "access": "ec2", "flow": "vpc-flow-logs"}
        for role in template.of("AWS::IAM::Role").values():
            key = role["RoleName"].removeprefix(f"{NAME}-")
            (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual(statement["Principal"], {"Service": f"{services.get(key, 'lambda')}.amazonaws.com"})

    @of_each_template
    def test_buckets_are_closed_and_the_lake_s_refuses_unconditional_writes(self, template, _name, shape):
        buckets = {bucket["BucketName"]: bucket for bucket in template.of("AWS::S3::Bucket").values()}
        policies = {policy["Bucket"]: policy["PolicyDocument"]["Statement"] for policy in template.of("AWS::S3::BucketPolicy").values()}
        self.assertEqual(sorted(policies), sorted(buckets))
        for name, bucket in buckets.items():
            self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
            self.assertEqual(bucket["OwnershipControls"]["Rules"], [{"ObjectOwnership": "BucketOwnerEnforced"}])
            (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            algorithm = rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
            self.assertEqual((algorithm, rule["BucketKeyEnabled"]), ("aws:kms", True) if shape["key"] else ("AES256", False))
            for statement in policies[name]:
                self.assertEqual((statement["Effect"], statement["Principal"]), ("Deny", "*"))
            self.assertIn({"Bool": {"aws:SecureTransport": "false"}}, [statement["Condition"] for statement in policies[name]])
        conditions = {}
        for statement in policies[BUCKET]:
            if statement["Action"] == "s3:PutObject":
                self.assertEqual(statement["Condition"]["Bool"], {"s3:ObjectCreationOperation": "true"})
                self.assertEqual(set(statement["Condition"]["Null"].values()), {"true"})
                conditions[statement["Resource"].removeprefix(f"arn:aws:s3:::{BUCKET}/taxi/")] = sorted(statement["Condition"]["Null"])
        self.assertEqual(conditions, CONTRACT["bucket"]["conditional_writes"])

    def test_s3_tells_eventbridge_of_complete_partitions_where_that_is_wanted(self):
        def of(file):
            template = Template(pathlib.Path(SYNTHESIZED) / file, PARAMETERS)
            (lake,) = (bucket for bucket in template.of("AWS::S3::Bucket").values() if bucket["BucketName"] == BUCKET)
            return lake.get("NotificationConfiguration"), "SuccessPattern" in template.raw["Outputs"]

        told = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
        self.assertEqual(of("app/TriplineQuickstart.template.json"), (told, True))
        self.assertEqual(of("template/kinesis-quickstart.template.json"), (None, False))

    @of_each_template
    def test_nothing_of_the_lake_expires(self, template, _name, _shape):
        for bucket in template.of("AWS::S3::Bucket").values():
            rules = bucket["LifecycleConfiguration"]["Rules"]
            aborts = [rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in rules if "AbortIncompleteMultipartUpload" in rule]
            self.assertEqual(len(aborts), 1)
            self.assertGreaterEqual(aborts[0], CONTRACT["bucket"]["abort_incomplete_multipart_upload_least_days"])
            if bucket["BucketName"] == BUCKET:
                self.assertEqual([rule["Prefix"] for rule in rules if "ExpirationInDays" in rule], ["athena-results/"])

    @of_each_template
    def test_alarms_are_the_contract_s(self, template, name, _shape):
        expected = dict(CONTRACT["alarms"])
        if name == "kinesis-private":
            apart = {key: alarm for key, alarm in expected.items() if key.startswith("ingest/")}
            expected = {key: alarm for key, alarm in expected.items() if key not in apart}
            for function in ("lake", "search"):
                expected |= {key.replace("ingest/", f"{function}/"): alarm for key, alarm in apart.items()}
            expected |= {f"search/{key}": alarm for key, alarm in (CONTRACT["sink_alarms"] | CONTRACT["search_alarms"]).items()}
        found = {}
        for alarm in template.of("AWS::CloudWatch::Alarm").values():
            found[alarm["AlarmName"].removeprefix(f"{NAME}-")] = {
                "metric": alarm["MetricName"],
                "statistic": alarm["Statistic"],
                "period": alarm["Period"],
                "periods": alarm["EvaluationPeriods"],
                "datapoints": alarm["DatapointsToAlarm"],
                "comparison": alarm["ComparisonOperator"],
                "threshold": alarm["Threshold"],
                "missing": alarm["TreatMissingData"],
            }
            (topic,) = template.of("AWS::SNS::Topic")
            self.assertEqual((alarm["AlarmActions"], alarm["OKActions"]), ([topic], [topic]))
        self.assertEqual(found, {key.replace("/", "-"): alarm for key, alarm in expected.items()})

    @of_each_template
    def test_every_alarm_and_widget_looks_at_a_metric_that_somebody_tells(self, template, _name, shape):
        metrics = CONTRACT["metrics"]
        told = {name for part in metrics.values() if isinstance(part, dict) for name in part}
        functions = {f"{NAME}-{function}" for function in shape["functions"]}
        shown = {
            (alarm["Namespace"], alarm["MetricName"], *(of for dimension in alarm["Dimensions"] for of in dimension.values()))
            for alarm in template.of("AWS::CloudWatch::Alarm").values()
        }
        for widget in self.widgets(template):
            shown |= {tuple(map(str, metric)) for metric in widget["properties"]["metrics"] if len(metric) > 1}
        own = {metric for metric in shown if metric[0] not in ("AWS/Lambda", "AWS/ES")}
        self.assertGreater(len(own), 10)
        for namespace, metric, dimension, function in own:
            self.assertEqual((namespace, dimension), (metrics["namespace"], metrics["dimension"]))
            self.assertIn(metric, told)
            self.assertIn(function, functions)

    @staticmethod
    def shown(widget):
        """Names of a widget's metrics, those that it looks for among them."""
        for metric in widget["properties"]["metrics"]:
            yield metric[1] if len(metric) > 1 else re.search(r'MetricName="(\w+)"', metric[0]["expression"]).group(1)

    def widgets(self, template):
        return json.loads(template.one("AWS::CloudWatch::Dashboard")["DashboardBody"])["widgets"]

    @of_each_template
    def test_the_dashboard_is_the_contract_s(self, template, name, _shape):
        found = {
            widget["properties"]["title"]: {
                "stat": widget["properties"]["stat"],
                "metrics": sorted(set(self.shown(widget))),
            }
            for widget in self.widgets(template)
        }
        expected = dict(CONTRACT["dashboard"])
        if name == "kinesis-quickstart":  # without search
            del expected["Documents, and times the cluster was busy"]
            expected["Dead letters"] = {"stat": "Sum", "metrics": ["DeadLetters"]}
            expected["Batch and sinks, longest (ms)"] = {"stat": "Maximum", "metrics": ["BatchMillis", "LakeMillis"]}
        self.assertEqual(found, expected)

    @of_each_template
    def test_publish_runs_on_its_schedule_and_nothing_repeats_it(self, template, _name, _shape):
        schedule = template.one("AWS::Scheduler::Schedule")
        self.assertEqual(schedule["ScheduleExpression"], f"rate({CONTRACT['schedule']['every_minutes']} minutes)")
        self.assertEqual(schedule["FlexibleTimeWindow"], {"Mode": "OFF"})
        self.assertEqual(schedule["Target"]["Arn"], f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-publish")
        once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 300}
        self.assertEqual(schedule["Target"]["RetryPolicy"], once)
        invoke = template.one("AWS::Lambda::EventInvokeConfig")
        self.assertEqual({key: invoke[key] for key in once}, once)

    @of_each_template
    def test_the_stream_outlasts_what_is_given_up(self, template, _name, _shape):
        stream = template.one("AWS::Kinesis::Stream")
        self.assertGreater(stream["RetentionPeriodHours"] * 3600, CONTRACT["mapping"]["kinesis"]["MaximumRecordAgeInSeconds"])
        self.assertEqual(stream["StreamEncryption"]["EncryptionType"], "KMS")

    @of_each_template
    def test_tables_are_those_of_terraform(self, template, _name, _shape):
        shipped = json.loads((ROOT / "infra/terraform/tables/taxi.json").read_text())
        tables = {table["TableInput"]["Name"]: table for table in template.of("AWS::Glue::Table").values()}
        self.assertEqual(sorted(tables), sorted(shipped))
        for name, table in tables.items():
            levels, of = shipped[name]["partitions"], table["TableInput"]
            columns = [{"name": column["Name"], "type": column["Type"]} for column in of["StorageDescriptor"]["Columns"]]
            self.assertEqual(columns, shipped[name]["columns"])
            kinds = [{"Name": level["name"], "Type": "string" if level["kind"] == "text" else "int"} for level in levels]
            self.assertEqual(of["PartitionKeys"], kinds)
            place = "".join(f"{level['name']}=${{{level['name']}}}/" for level in levels)
            self.assertEqual(of["Parameters"]["storage.location.template"], f"s3://{BUCKET}/taxi/{name}/{place}")
            for level in levels:
                projection = {
                    key.removeprefix(f"projection.{level['name']}."): value
                    for key, value in of["Parameters"].items()
                    if key.startswith(f"projection.{level['name']}.")
                }
                if level["kind"] == "text":
                    self.assertEqual(projection, {"type": "enum", "values": ",".join(level["values"])})
                else:
                    self.assertEqual(projection["type"], "integer")
                    self.assertEqual(projection["digits"], "4" if level["kind"] == "year" else "2")

    @of_each_template
    def test_endpoints_are_the_shape_s_and_let_through_what_terraform_s_do(self, template, _name, shape):
        code = (ROOT / "infra/terraform/modules/network/endpoints.tf").read_text()
        actions = {name: re.findall(r'"([\w:]+)"', listed) for name, listed in re.findall(r"^ {4}([\w-]+) += \[(.*)\]$", code, re.MULTILINE)}
        actions["s3"] = re.findall(r'"(s3:\w+)"', code)
        endpoints = {endpoint["ServiceName"].split(".")[-1]: endpoint for endpoint in template.of("AWS::EC2::VPCEndpoint").values()}
        self.assertEqual(sorted(endpoints), shape["endpoints"])
        for name, endpoint in endpoints.items():
            (statement,) = endpoint["PolicyDocument"]["Statement"]
            self.assertEqual(sorted(statement["Action"]), sorted(actions[name]), name)
            self.assertEqual(statement["Condition"]["StringEquals"]["aws:PrincipalAccount"], ACCOUNT)
            if name == "s3":
                self.assertEqual(statement["Resource"], [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"])
            else:
                self.assertTrue(endpoint["PrivateDnsEnabled"])
                self.assertEqual(len(endpoint["SubnetIds"]), 3)

    @of_each_template
    def test_nobody_comes_in_by_address_and_nothing_has_a_way_out(self, template, name, _shape):
        for kind in ("AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route", "AWS::EC2::EIP"):
            self.assertEqual(template.of(kind), {})
        for group in template.of("AWS::EC2::SecurityGroup").values():
            self.assertNotIn("SecurityGroupIngress", group)
            self.assertEqual([rule["CidrIp"] for rule in group["SecurityGroupEgress"]], ["127.0.0.1/32"])
            # What EC2 takes. It knows no apostrophes.
            self.assertRegex(group["GroupDescription"], r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$")
        rules = template.of("AWS::EC2::SecurityGroupIngress") | template.of("AWS::EC2::SecurityGroupEgress")
        self.assertEqual(bool(rules), name == "kinesis-private")
        for key, rule in rules.items():
            self.assertFalse({"CidrIp", "CidrIpv6"} & set(rule), key)
            self.assertEqual((rule["FromPort"], rule["ToPort"], rule["IpProtocol"]), (443, 443, "tcp"))
            self.assertRegex(rule["Description"], r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$")
        entered = {rule["GroupId"] for rule in template.of("AWS::EC2::SecurityGroupIngress").values()}
        closed = {group["GroupName"] for key, group in template.of("AWS::EC2::SecurityGroup").items() if key not in entered}
        self.assertEqual(closed, {f"{NAME}-access", f"{NAME}-functions"} if rules else set())

    @of_each_template
    def test_the_domain_is_private_and_encrypted(self, template, name, _shape):
        if name == "kinesis-quickstart":
            self.assertEqual(template.of("AWS::OpenSearchService::Domain"), {})
            return
        domain = template.one("AWS::OpenSearchService::Domain")
        self.assertEqual(len(domain["VPCOptions"]["SubnetIds"]), 3)
        self.assertTrue(domain["EncryptionAtRestOptions"]["Enabled"] and domain["NodeToNodeEncryptionOptions"]["Enabled"])
        self.assertTrue(domain["DomainEndpointOptions"]["EnforceHTTPS"] and domain["AdvancedSecurityOptions"]["Enabled"])
        who = {statement["Sid"]: statement["Principal"]["AWS"] for statement in domain["AccessPolicies"]["Statement"]}
        self.assertEqual(who, {"Index": [f"arn:aws:iam::{ACCOUNT}:role/{NAME}-search"], "Administer": [PARAMETERS["SearchMasterArn"]]})

    @of_each_template
    def test_what_a_stack_leaves_behind_is_said(self, template, name, _shape):
        for resource in template.raw["Resources"].values():
            if resource["Type"] == "AWS::S3::Bucket":
                kept = "Retain" if name == "kinesis-private" else "Delete"
                self.assertEqual((resource["DeletionPolicy"], resource["UpdateReplacePolicy"]), (kept, kept))

    def test_a_template_for_cloudformation_alone_needs_nothing_of_cdk(self):
        own = {"Name", "PackageBucket", "PackagePrefix", "Architecture", "AlarmEmail"}
        private = {"Cidr", "S3PrefixList", "SearchMasterArn", "SearchInstanceType"}
        for name, parameters in (("kinesis-quickstart", own), ("kinesis-private", own | private)):
            file = pathlib.Path(SYNTHESIZED) / f"template/{name}.template.json"
            self.assertLess(file.stat().st_size, 1_000_000, "CloudFormation takes 1 MB from S3")
            text, template = file.read_text(), Template(file, PARAMETERS)
            self.assertEqual(set(template.raw["Parameters"]), parameters)
            self.assertNotRegex(text, "cdk-|BootstrapVersion|aws:cdk")
            for function, made in self.functions(template).items():
                zipped = "publish" if function == "publish" else "ingest"
                self.assertEqual(made["Code"], {"S3Bucket": "packages", "S3Key": f"1/{zipped}.zip"})
            (subscription,) = (one for one in template.raw["Resources"].values() if one["Type"] == "AWS::SNS::Subscription")
            self.assertEqual(subscription["Condition"], "HasAlarmEmail")

    def test_another_name_goes_everywhere(self):
        file = pathlib.Path(SYNTHESIZED) / "template/kinesis-private.template.json"
        renamed = Template(file, PARAMETERS | {"Name": "other"})
        text = json.dumps(renamed.resolve(renamed.raw["Resources"]))
        self.assertNotIn(NAME, text)
        self.assertNotIn("tripline_trips", text)
        (database,) = renamed.of("AWS::Glue::Database").values()
        self.assertEqual(database["DatabaseInput"]["Name"], "other")


if __name__ == "__main__":
    unittest.main()

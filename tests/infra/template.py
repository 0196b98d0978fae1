"""A CloudFormation template with what it refers to filled in, so that tests can compare plain texts."""

import json
import re

REGION = "eu-central-1"
ACCOUNT = "111122223333"
PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}

# What `Ref` gives, where that is a name, and the ARN by that name.
NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Athena::WorkGroup": "Name",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
}
ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::Kinesis::Stream": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{{name}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{name}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}:*",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{name}}",
    "AWS::OpenSearchService::Domain": f"arn:aws:es:{REGION}:{ACCOUNT}:domain/{{name}}",
}


class Template:
    """Resources by type, with intrinsic functions worked out. One that is not known here fails the test."""

    def __init__(self, file, parameters=None):
        self.raw = json.loads(file.read_text())
        self.parameters = {
            name: (parameters or {}).get(name, parameter.get("Default"))
            for name, parameter in self.raw.get("Parameters", {}).items()
        }

    def of(self, kind):
        """Properties of every resource of a type, by logical id."""
        return {
            key: self.resolve(resource.get("Properties", {}))
            for key, resource in self.raw["Resources"].items()
            if resource["Type"] == kind
        }

    def one(self, kind):
        found = list(self.of(kind).values())
        assert len(found) == 1, f"{kind}: {len(found)} of them"
        return found[0]

    def depends(self, key):
        found = self.raw["Resources"][key].get("DependsOn", [])
        return [found] if isinstance(found, str) else found

    def _name(self, key):
        """What a resource is called: `Ref` of it."""
        resource = self.raw["Resources"][key]
        name = resource.get("Properties", {}).get(NAMES.get(resource["Type"]))
        return self.resolve(name) if name is not None else key

    def _reference(self, key):
        if key in PSEUDO:
            return PSEUDO[key]
        if key in self.parameters:
            return self.parameters[key]
        return self._name(key)

    def _attribute(self, key, attribute):
        kind = self.raw["Resources"][key]["Type"]
        if attribute == "Arn":
            return ARNS[kind].format(name=self._name(key))
        if (kind, attribute) == ("AWS::EC2::SecurityGroup", "GroupId"):
            return key
        if (kind, attribute) == ("AWS::OpenSearchService::Domain", "DomainEndpoint"):
            return "search.example.com"
        raise AssertionError(f"{attribute} of {kind} is not known here")

    def resolve(self, value):
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1 or next(iter(value)) not in ("Ref",) and not next(iter(value)).startswith("Fn::"):
            return {key: self.resolve(item) for key, item in value.items()}
        (function, argument), = value.items()
        if function == "Ref":
            return self._reference(argument)
        if function == "Fn::GetAtt":
            return self._attribute(*argument)
        argument = self.resolve(argument)
        if function == "Fn::Join":
            return argument[0].join(argument[1])
        if function == "Fn::Sub":
            return re.sub(r"\$\{([\w:]+)\}", lambda match: self._reference(match.group(1)), argument)
        if function == "Fn::Split":
            return argument[1].split(argument[0])
        if function == "Fn::Select":
            return argument[1][int(argument[0])]
        if function == "Fn::GetAZs":
            return [f"{REGION}{zone}" for zone in "abc"]
        if function == "Fn::Cidr":
            return [f"{argument[0]}#{index}" for index in range(int(argument[1]))]
        raise AssertionError(f"{function} is not known here")

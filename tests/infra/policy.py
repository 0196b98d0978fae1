"""Policies as IAM evaluates them, as far as those of infra/ go, and recorded calls as the requests that IAM sees.

What is not known here fails: an operator of a condition, a kind of call.
"""

import functools
import re


def listed(value):
    return value if isinstance(value, list) else [value]


@functools.cache
def pattern_of(pattern):
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(one) or re.escape(one) for one in pattern), re.DOTALL)


def matches(pattern, text):
    """`*` is any number of characters, `?` is one (IAM user guide: IAM JSON policy elements, Resource)."""
    return pattern_of(pattern).fullmatch(text) is not None


# IAM user guide: IAM JSON policy elements, Condition operators. A key that the request does not have satisfies none of
# these, but for `Null`.
OPERATORS = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringLike": matches,
    "ArnEquals": matches,
    "Bool": lambda wanted, found: wanted.lower() == found.lower(),
    "NumericLessThan": lambda wanted, found: float(found) < float(wanted),
}


class Request:
    """An action on a resource, with what conditions may look at."""

    def __init__(self, action, resource, context=None):
        self.action, self.resource, self.context = action, resource, dict(context or {})

    def without(self, *keys):
        return Request(self.action, self.resource, {key: value for key, value in self.context.items() if key not in keys})

    def having(self, context):
        return Request(self.action, self.resource, self.context | context)

    def __str__(self):
        return f"{self.action} on {self.resource} {self.context}"


def holds(condition, context):
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            if operator == "Null":
                fulfilled = [str(key not in context).lower()] == listed(wanted)
            else:
                compare = OPERATORS[operator]
                fulfilled = key in context and any(compare(str(one), context[key]) for one in listed(wanted))
            if not fulfilled:
                return False
    return True


def applies(statement, request):
    assert set(statement) <= {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}, statement
    return (
        any(matches(pattern.lower(), request.action.lower()) for pattern in listed(statement["Action"]))
        and any(matches(pattern, request.resource) for pattern in listed(statement["Resource"]))
        and holds(statement.get("Condition", {}), request.context)
    )


def applying(statements, effect, request):
    """The ids of the statements with this effect that apply."""
    return [statement["Sid"] for statement in statements if statement["Effect"] == effect and applies(statement, request)]


def allows(statements, request):
    """A denial outweighs everything (IAM user guide: Policy evaluation logic)."""
    return bool(applying(statements, "Allow", request)) and not applying(statements, "Deny", request)


class Unknown(AssertionError):
    """A call of which it is not known what it needs."""


# Which action S3 asks for: Amazon S3 user guide, "Required permissions for Amazon S3 API operations". The members of the
# query that tell operations apart are those of the API reference. Part of CompleteMultipartUpload and PutObject are the
# conditional headers; creating an upload and its parts take none, and `s3:ObjectCreationOperation` is false for them
# (user guide: "Enforce conditional writes on Amazon S3 buckets").
OBJECT_CALLS = [
    # method, members of the query, action, whether it makes the object
    ("GET", (), "s3:GetObject", None),
    ("GET", ("versionId",), "s3:GetObjectVersion", None),
    ("HEAD", (), "s3:GetObject", None),
    ("HEAD", ("versionId",), "s3:GetObjectVersion", None),
    ("PUT", (), "s3:PutObject", "true"),
    ("POST", ("uploads",), "s3:PutObject", "false"),
    ("PUT", ("partNumber", "uploadId"), "s3:PutObject", "false"),
    ("POST", ("uploadId",), "s3:PutObject", "true"),
    ("DELETE", (), "s3:DeleteObject", None),
]
# Names the operation for logs, and is no right of its own.
NO_RIGHT = {"x-id"}
LIST_MEMBERS = {"list-type", "prefix", "delimiter", "start-after", "max-keys", "continuation-token"}


def of_s3(call):
    bucket, _, key = call.path.removeprefix("/").partition("/")
    members = set(call.query) - NO_RIGHT
    # The functions' endpoints on AWS are https, and the SDK's TLS is 1.2 or later.
    context = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
    request = None
    if not key and call.method == "GET" and call.query.get("list-type") == "2" and members <= LIST_MEMBERS:
        # ListObjectsV2; condition keys: Service authorization reference, Amazon S3.
        request = Request("s3:ListBucket", f"arn:aws:s3:::{bucket}")
        if "prefix" in call.query:
            context["s3:prefix"] = call.query["prefix"]
    elif key:
        for method, query, action, makes in OBJECT_CALLS:
            if (method, set(query)) == (call.method, members):
                request = Request(action, f"arn:aws:s3:::{bucket}/{key}")
                if makes:
                    context["s3:ObjectCreationOperation"] = makes
    # Copies, tags, ACLs, retention and keys of one's own need more.
    more = {name for name in call.headers if re.match(r"x-amz-(copy|tagging|acl|grant|object-lock|server-side|website)", name)}
    if request is None or more:
        raise Unknown(f"{call} {sorted(more)}")
    for header in ("if-none-match", "if-match"):
        if header in call.headers:
            context[f"s3:{header}"] = call.headers[header]
    request.context = context
    return request


def of_kinesis(call, account):
    # Service authorization reference, Amazon Kinesis Data Streams: actions have the operations' names.
    operation = call.target.removeprefix("Kinesis_20131202.")
    if operation not in {"PutRecords", "PutRecord", "ListShards", "DescribeStreamSummary"}:
        raise Unknown(str(call))
    name = call.document.get("StreamName")
    return Request(f"kinesis:{operation}", call.document.get("StreamARN") or f"arn:aws:kinesis:{call.region}:{account}:stream/{name}")


def of_lambda(call):
    # Service authorization reference, AWS Lambda: ListEventSourceMappings has no type of resource.
    if (call.method, call.path.rstrip("/")) != ("GET", "/2015-03-31/event-source-mappings"):
        raise Unknown(str(call))
    return Request("lambda:ListEventSourceMappings", "*")


def of_search(call, domain):
    # Amazon OpenSearch Service developer guide, "Identity and Access Management": es:ESHttp<Method>, domain/<name>/<path>.
    if call.method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        raise Unknown(str(call))
    return Request(f"es:ESHttp{call.method.capitalize()}", f"{domain}{call.path}")


def request_of(call, account, function, domain):
    """What IAM is asked about a call of a function. The service is the one that it is signed for."""
    translate = {
        "s3": of_s3,
        "kinesis": lambda call: of_kinesis(call, account),
        "lambda": of_lambda,
        "es": lambda call: of_search(call, domain),
    }
    if call.service not in translate:
        raise Unknown(f"signed for nothing known: {call}")
    request = translate[call.service](call)
    # Lambda puts it into every request that code makes with the role's credentials (AWS Lambda developer guide,
    # "Using source function ARN to control function access behavior").
    request.context["lambda:SourceFunctionArn"] = function
    return request

"""What roles grant: actions at places, and what of it no call needs."""

from deployment import ARCHIVE, BUCKET, DOMAIN, NAME, PREFIX, SINK_STREAM, STREAM
from policy import Request, allows, listed
from template import ACCOUNT, REGION

S3 = "arn:aws:s3:::"
LAKE = f"{S3}{BUCKET}/{PREFIX}"
FAILED = f"{S3}{NAME}-failed-{ACCOUNT}-{REGION}"

# Where a right can reach to. A call belongs to the first place whose beginning it has.
OBJECTS = {
    "journal": f"{LAKE}/_journal/",
    "probe": f"{LAKE}/_tripline/probe/",
    "identity": f"{LAKE}/_tripline/identity.json",
    "schemas": f"{LAKE}/_tripline/schemas.json",
    "checkpoint": f"{LAKE}/_tripline/checkpoint.json",
    "other state": f"{LAKE}/_tripline/",
    "tables": f"{LAKE}/",
    "beside the lake": f"{S3}{BUCKET}/",
    "given up": f"{FAILED}/",
    "backfill": f"{S3}{ARCHIVE}/trips/",
    "beside the backfill": f"{S3}{ARCHIVE}/",
    "any bucket": S3,
}
# Folders by their prefix, and buckets as a whole.
FOLDERS = {
    "lake": (f"{S3}{BUCKET}", f"{PREFIX}/"),
    "beside the lake": (f"{S3}{BUCKET}", ""),
    "given up": (FAILED, ""),
    "backfill": (f"{S3}{ARCHIVE}", "trips/"),
    "beside the backfill": (f"{S3}{ARCHIVE}", ""),
    "any bucket": (S3, ""),
}
STREAMS = {
    "source": STREAM,
    "sink": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{SINK_STREAM}",
    "any stream": "arn:aws:kinesis:",
}
SEARCH = {"bulk": f"{DOMAIN}/_bulk", "rest of the domain": f"{DOMAIN}/", "any domain": "arn:aws:es:"}
# Services that the functions' code does not call: a right is looked at by its statement.
OF_LAMBDA = {"logs", "ec2", "kms", "xray"}

# What is granted and not seen to be used, and why. A reason that is none any more fails.
MAPPING = "the event source mapping reads the stream with the function's role"
GIVEN_UP = "the mapping brings what it gives up to its on-failure destination with the function's role"
LOGS = "Lambda writes the log with the function's role"
INTERFACES = "Lambda puts interfaces into the VPC with the function's role; code is denied it"
KEY = "S3 and Lambda use the key on the function's behalf"
TRACE = "Lambda sends traces with the function's role"
BY_LAMBDA = {
    ("logs:CreateLogStream", "Log"): LOGS,
    ("logs:PutLogEvents", "Log"): LOGS,
}
IN_VPC = {
    ("ec2:CreateNetworkInterface", "MakeInterfaces"): INTERFACES,
    ("ec2:AssignPrivateIpAddresses", "KeepInterfaces"): INTERFACES,
    ("ec2:DeleteNetworkInterface", "KeepInterfaces"): INTERFACES,
    ("ec2:UnassignPrivateIpAddresses", "KeepInterfaces"): INTERFACES,
    ("ec2:DescribeNetworkInterfaces", "SeeInterfaces"): INTERFACES,
    ("ec2:DescribeSubnets", "SeeInterfaces"): INTERFACES,
    ("kms:GenerateDataKey", "Encrypt"): KEY,
    ("kms:Decrypt", "Decrypt"): KEY,
}
TRACED = {("xray:PutTelemetryRecords", "Trace"): TRACE, ("xray:PutTraceSegments", "Trace"): TRACE}
READS_STREAM = BY_LAMBDA | {
    ("kinesis:DescribeStream", "source"): MAPPING,
    ("kinesis:DescribeStreamSummary", "source"): MAPPING,
    ("kinesis:GetRecords", "source"): MAPPING,
    ("kinesis:GetShardIterator", "source"): MAPPING,
    ("kinesis:ListShards", "source"): MAPPING,
    ("kinesis:SubscribeToShard", "source"): MAPPING,
    ("s3:PutObject", "given up"): GIVEN_UP,
    ("s3:ListBucket", "given up"): GIVEN_UP,
}
TABLES = "tables have the pipeline's names, so publish is let into all of the prefix but the journal"
PUBLISHES = BY_LAMBDA | {
    ("s3:GetObject", "other state"): TABLES,
    ("s3:PutObject", "other state"): TABLES,
}
UNUSED = {
    "quickstart": {"ingest": READS_STREAM, "publish": PUBLISHES},
    "private": {"lake": READS_STREAM | IN_VPC, "search": READS_STREAM | IN_VPC, "publish": PUBLISHES | IN_VPC},
    "full": {"ingest": READS_STREAM | TRACED, "publish": PUBLISHES | TRACED},
}


def place_of(request):
    """The place that a request is about."""
    service = request.action.split(":")[0]
    if request.action == "s3:ListBucket":
        prefix = request.context.get("s3:prefix", "")
        return next(name for name, (bucket, begins) in FOLDERS.items() if request.resource.startswith(bucket) and prefix.startswith(begins))
    places = {"s3": OBJECTS, "kinesis": STREAMS, "es": SEARCH}.get(service)
    if places is None:
        return "everything"
    return next(name for name, begins in places.items() if request.resource.startswith(begins))


def examples(action):
    """Requests for each place of an action's service, by the place's name."""
    service = action.split(":")[0]
    if action == "s3:ListBucket":
        for name, (bucket, prefix) in FOLDERS.items():
            yield name, Request(action, f"{S3}another" if name == "any bucket" else bucket, {"s3:prefix": f"{prefix}x"})
        yield "any bucket", Request(action, f"{S3}another", {"s3:prefix": f"{PREFIX}/x"})
    elif service == "s3":
        for name, begins in OBJECTS.items():
            whole = begins.endswith(".json")
            yield name, Request(action, begins if whole else f"{S3}another/x" if name == "any bucket" else f"{begins}x")
    elif service == "kinesis":
        for name, arn in STREAMS.items():
            yield name, Request(action, f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/another" if name == "any stream" else arn)
    elif service == "es":
        for name, arn in SEARCH.items():
            other = {"rest of the domain": f"{DOMAIN}/trips/_search", "any domain": f"arn:aws:es:{REGION}:{ACCOUNT}:domain/another/_bulk"}
            yield name, Request(action, other.get(name, arn))
    elif service == "lambda":
        yield "everything", Request(action, "*")
    else:
        raise AssertionError(f"{action}: no place of its service is known")


def granted(statements):
    """What a role may do: pairs of an action and a place."""
    found = set()
    for statement in statements:
        if statement["Effect"] != "Allow":
            continue
        for action in listed(statement["Action"]):
            assert "*" not in action, f"{statement['Sid']}: {action} is more than is known here"
            if action.split(":")[0] in OF_LAMBDA:
                found.add((action, statement["Sid"]))
                continue
            reached = {place for place, request in examples(action) if allows(statements, request)}
            assert reached, f"{statement['Sid']}: {action} reaches nothing that is known here: {statement['Resource']}"
            found |= {(action, place) for place in reached}
    return found


def kinds(requests):
    """By action and place, one of each."""
    return {(request.action, place_of(request)): request for request in requests}


def told(what, requests):
    return sorted(f"{what}: {request}" for request in kinds(requests).values())


def faults(role, domain, requests, unused):
    """What is wrong with a role beside what its function asks: what is refused, granted without a use, excused without need.

    Within an account either the role's or the domain's policy would be enough. So each must be right alone."""
    superfluous = (granted(role) | granted(domain)) - set(kinds(requests))
    return (
        told("refused", [request for request in requests if not allows(role, request)])
        + told("refused by the domain", [request for request in requests if request.action.startswith("es:") and not allows(domain, request)])
        + sorted(f"not used: {action} on {place}" for action, place in superfluous - set(unused))
        + sorted(f"used, or not granted, and no exception is needed: {action} on {place}" for action, place in set(unused) - superfluous)
    )


def wider(resource):
    """What is beside it, as well."""
    above = resource.removesuffix("/*")
    return f"{above[: max(above.rfind('/'), above.rfind(':')) + 1]}*"


def changed(statements):
    """Each way of giving a role a right more or less, with what it is."""
    for index, statement in enumerate(statements):
        def instead(*others):
            return [*statements[:index], *others, *statements[index + 1 :]]

        name = statement["Sid"]
        if statement["Effect"] == "Deny":
            if "Condition" not in statement:  # That on interfaces is about who asks, and has a test of its own.
                yield f"without {name}", instead()
            continue
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        for action in actions:
            yield f"{name} without {action}", instead(statement | {"Action": [other for other in actions if other != action]})
        if "Condition" in statement:
            yield f"{name} without its condition", instead({key: value for key, value in statement.items() if key != "Condition"})
        if actions[0].split(":")[0] in OF_LAMBDA or resources == ["*"]:
            continue
        for resource in resources:
            yield f"{name} on {wider(resource)}", instead(statement | {"Resource": [wider(resource)] + [other for other in resources if other != resource]})
    for action in ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObjectAcl", "s3:ListBucketVersions"):
        yield f"{action} besides", [*statements, {"Sid": "More", "Effect": "Allow", "Action": action, "Resource": f"{LAKE}/*"}]

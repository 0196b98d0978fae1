"""Writes vectors.tsv: URLs that botocore presigns for kafka-cluster:Connect, at fixed times.

    python make_vectors.py >vectors.tsv   (needs botocore)
"""
import datetime
from unittest import mock

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CASES = [
    ("eu-west-1", "AKIDTEST", "secrettest", "", 1_700_000_000),
    ("us-east-1", "AKIDTEST", "secrettest", "a+session/token==", 1_700_000_000),
    ("cn-north-1", "AKIDTEST", "other/secret+", "", 1_767_225_599),
    ("ap-southeast-2", "ASIATEST", "other/secret+", "IQoJb3JpZ2luX2VjE" * 20, 1_767_225_600),
]

for region, access, secret, session, seconds in CASES:
    now = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    with mock.patch("botocore.auth.get_current_datetime", create=True, return_value=now):
        request = AWSRequest(
            method="GET", url=f"https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect"
        )
        credentials = Credentials(access, secret, session or None)
        SigV4QueryAuth(credentials, "kafka-cluster", region, expires=900).add_auth(request)
    assert now.strftime("%Y%m%dT%H%M%SZ") in request.url, "botocore takes its clock from elsewhere"
    print(region, access, secret, session, seconds, request.url, sep="\t")

"""Lets a request through to UPSTREAM only where its SigV4 signature is right; else answers 403 with the reason.

    proxy.py PORT UPSTREAM SERVICE REGION            as 9201 http://127.0.0.1:9200 es us-east-1

The signature is computed again by botocore from the bytes on the wire: a compressed body is hashed as it was sent.
Settings: SIGV4_KEYS and SIGV4_SKEW, as start.sh says. GET /_proxy/stats, unsigned, tells what passed and what did not:
    {"accepted": 2, "refused": 1, "last": "why the last one was refused", "largest": 51234}
"largest" is the length of the longest body that came, uncompressed.
"""
import asyncio
import datetime
import gzip
import hashlib
import hmac
import os
import re
import sys
from urllib.parse import unquote

from aiohttp import ClientSession, DummyCookieJar, web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

PORT, UPSTREAM, SERVICE, REGION = int(sys.argv[1]), sys.argv[2].rstrip("/"), sys.argv[3], sys.argv[4]
SKEW = int(os.environ.get("SIGV4_SKEW", "300"))
KEYS = {}
for key in os.environ.get("SIGV4_KEYS", "AKIDTEST:secrettest").split(","):
    access, secret, *token = key.split(":")
    KEYS[access] = (secret, token[0] if token else None)

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
# Of one connection only.
HOP_BY_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
stats = {"accepted": 0, "refused": 0, "last": None, "largest": 0}


def fault(request, body):
    """What is wrong with the request's signature; None if it is right."""
    headers = request.headers
    match = AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
    if not match:
        return "Missing Authentication Token"
    access, day, region, service, signed, signature = match.groups()
    if access not in KEYS:
        return "The security token included in the request is invalid."
    secret, token = KEYS[access]
    if (region, service) != (REGION, SERVICE):
        return f"Credential should be scoped to {REGION}/{SERVICE}, not {region}/{service}"
    stamp = headers.get("X-Amz-Date", "")
    try:
        signed_at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return "X-Amz-Date is missing or malformed"
    age = (datetime.datetime.now(datetime.timezone.utc) - signed_at).total_seconds()
    if stamp[:8] != day or abs(age) > SKEW:
        return f"Signature expired or not yet valid: {stamp}"
    if headers.get("X-Amz-Security-Token") != token:
        return "The session token included in the request is invalid."
    names = signed.split(";")
    wanted = {"host"} | {name.lower() for name in headers if name.lower().startswith("x-amz-")}
    if names != sorted(names) or not wanted <= set(names):
        return f"SignedHeaders must be sorted and hold {sorted(wanted)}"
    told = headers.get("X-Amz-Content-SHA256")
    if told is not None and told != hashlib.sha256(body).hexdigest():
        return "x-amz-content-sha256 is not the SHA-256 of the body that arrived"
    if told is None and SERVICE == "aoss":
        return "x-amz-content-sha256 is missing"
    path, _, query = request.raw_path.partition("?")
    parameters = [tuple(unquote(part) for part in pair.partition("=")[::2]) for pair in query.split("&") if pair]
    again = AWSRequest(request.method, f"http://{headers['Host']}{path}", data=body, params=parameters)
    for name in names:
        if name not in headers:
            return f"signed header {name} is missing"
        again.headers[name] = ",".join(" ".join(value.split()) for value in headers.getall(name))
    again.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(access, secret, token), SERVICE, REGION)
    canonical = signer.canonical_request(again)
    expected = signer.signature(signer.string_to_sign(again, canonical), again)
    if not hmac.compare_digest(expected, signature):
        return (
            "The request signature we calculated does not match the signature you provided. The Canonical String "
            f"for this request should have been\n'{canonical}'"
        )
    return None


async def handle(request):
    if request.path == "/_proxy/stats":
        return web.json_response(stats)
    body = await request.read()
    plain = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
    stats["largest"] = max(stats["largest"], len(plain))
    why = fault(request, body)
    if why:
        stats["refused"] += 1
        stats["last"] = why
        return web.json_response({"message": why}, status=403)
    stats["accepted"] += 1
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    url = URL(UPSTREAM + request.raw_path, encoded=True)
    async with request.app["client"].request(request.method, url, headers=headers, data=body or None) as answer:
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        return web.Response(status=answer.status, body=await answer.read() or None, headers=headers)


async def main():
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{any:.*}", handle)
    # Bodies pass as they are, in both directions: unpacked, neither the hash nor the answer would be what was sent.
    client = ClientSession(
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent", "Content-Type"],
    )
    async with client as app["client"]:
        runner = web.AppRunner(app, auto_decompress=False, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", PORT).start()
        await asyncio.Event().wait()


asyncio.run(main())

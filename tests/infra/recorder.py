"""Real servers behind something that notes what is asked of them, and Lambda's API, of which there is no server."""

import http.client
import http.server
import json
import re
import socket
import threading
import urllib.parse

# What belongs to a connection, not to what goes over it.
HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}


class Call:
    """A request as it was sent: what AWS would look at to decide whether the caller may."""

    def __init__(self, method, target, headers, body):
        url = urllib.parse.urlsplit(target)
        self.method, self.path = method, urllib.parse.unquote(url.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.headers = {name.lower(): value for name, value in headers.items()}
        scope = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request", self.headers.get("authorization", ""))
        # A request that is not signed is nobody's.
        self.region, self.service = scope.groups() if scope else (None, None)
        self.target = self.headers.get("x-amz-target")
        self.document = json.loads(body) if self.target else None

    def __str__(self):
        query = f"?{urllib.parse.urlencode(self.query)}" if self.query else ""
        return f"{self.service}: {self.method} {self.path}{query} {self.target or ''}".rstrip()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do(self):
        assert "transfer-encoding" not in self.headers, "a body without a length"
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call = Call(self.command, self.path, self.headers, body)
        status, headers, answer = self.server.owner.answer(call, self.path, self.headers, body)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP and (name.lower() != "content-length" or self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do


class Listener(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, owner, handler=Handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.owner = owner
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, _request, _address):
        pass  # A function that was ended closes its connections as it likes.


class Recorder:
    """Stands before the server at `port`. Hosts and bodies go on as they came, so that signatures hold."""

    def __init__(self, port, calls):
        self.port, self.calls = port, calls
        # Which calls are to be answered 503 without the server.
        self.refuses = lambda call: False
        self.listener = Listener(self)
        self.url = self.listener.url

    def answer(self, call, target, headers, body):
        self.calls.append(call)
        if self.refuses(call):
            return 503, [("content-type", "text/plain")], b"refused by the test"
        upstream = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            upstream.putrequest(call.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in HOP:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()


class LambdaApi:
    """Lambda's API, with one mapping (ListEventSourceMappings, AWS Lambda API reference)."""

    def __init__(self, mapping, calls):
        self.mapping, self.calls = mapping, calls
        self.listener = Listener(self)
        self.url = self.listener.url

    def answer(self, call, *_):
        self.calls.append(call)
        known = call.method == "GET" and call.path.rstrip("/") == "/2015-03-31/event-source-mappings"
        answer = {"EventSourceMappings": [self.mapping]} if known else {"Message": f"not known here: {call}"}
        return 200 if known else 404, [("content-type", "application/json")], json.dumps(answer).encode()

    close = Recorder.close


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]

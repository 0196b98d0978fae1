"""A function's real binary behind Lambda's Runtime API, and the servers of tests/servers."""

import json
import os
import pathlib
import queue
import subprocess
import threading
import time

import http.server

from recorder import Listener, free_port

SERVERS = pathlib.Path(__file__).parents[1] / "servers"
PATH = "/2018-06-01/runtime/"
# Seconds for a start or an answer; what takes longer has failed.
PATIENCE = 60


class Unavailable(Exception):
    """A server cannot be had on this machine."""


class Server:
    """A server of tests/servers. It ends with this process, whatever ends it: its script watches a pipe."""

    def __init__(self, name, port_variable, **variables):
        self.port = free_port()
        self.name = name
        self.reader = threading.Thread(target=lambda: None)
        self.reader.start()
        self.process = subprocess.Popen(
            [SERVERS / name / "start.sh", "attend"],
            env=os.environ | {port_variable: str(self.port)} | variables,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )

    def wait(self):
        first = self.process.stdout.readline().strip()
        if not first.startswith("ready "):
            said = (self.process.communicate()[1].strip().splitlines() or ["it did not start"])[-1]
            if self.process.returncode == 69:
                raise Unavailable(said)
            raise AssertionError(f"{self.name}: {said}")
        # So that it never waits for a reader.
        self.reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.reader.start()
        self.data = pathlib.Path(first.removeprefix("ready "))
        return self

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()


class RuntimeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", headers=()):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        function = self.server.owner
        assert self.path == f"{PATH}invocation/next", self.path
        number, body = function.events.get()
        deadline = int((time.time() + function.timeout) * 1000)
        self.reply(200, body, [
            ("content-type", "application/json"),
            ("lambda-runtime-aws-request-id", f"00000000-0000-0000-0000-{number:012}"),
            ("lambda-runtime-deadline-ms", str(deadline)),
            ("lambda-runtime-invoked-function-arn", function.arn),
            ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"),
        ])

    def do_POST(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.reply(202)
        how = self.path.removeprefix(PATH).split("/")[-1]
        self.server.owner.answers.put((how, json.loads(body)))


class Function:
    """A process that is invoked. Its environment is what is given here and nothing of Tripline's or AWS's besides."""

    def __init__(self, binary, arn, timeout, variables):
        self.arn, self.timeout = arn, timeout
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.invocations = 0
        self.api = Listener(self, RuntimeHandler)
        own = {
            "AWS_LAMBDA_RUNTIME_API": self.api.url.removeprefix("http://"),
            "AWS_LAMBDA_FUNCTION_NAME": arn.split(":")[6],
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TRIPLINE_"))}
        self.process = subprocess.Popen(
            [binary], env=inherited | own | variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = []
        self.reader = threading.Thread(target=lambda: self.output.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def ask(self, event):
        """Whether it answered with a `response` or an `error`, and the answer."""
        self.invocations += 1
        self.events.put((self.invocations, json.dumps(event).encode()))
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                return self.answers.get(timeout=0.2)
            except queue.Empty:
                if self.process.poll() is not None and self.answers.empty():
                    break
        raise AssertionError(f"{self.arn} gave no answer:\n{''.join(self.output[-20:])}")

    def invoke(self, event):
        how, answer = self.ask(event)
        if how != "response":
            raise AssertionError(f"{self.arn}: {answer}\n{''.join(self.output[-20:])}")
        return answer

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.api.shutdown()
        self.api.server_close()

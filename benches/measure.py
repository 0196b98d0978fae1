"""What a command costs, seen from outside: processor time of it and its children, and the largest of their memories."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float
    # Not less than this process's own, which a child has for a moment: so it imports little.
    peak_mb: float
    # The last line of JSON that the command printed.
    told: dict


def measure(command: list[str], environment: dict[str, str] | None = None, core: int | None = None) -> Cost:
    """Runs a command, on one core if it is named. Raises `CalledProcessError` where it fails."""
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    began = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}, preexec_fn=pin
    )
    text = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        print(text, file=sys.stderr)
        raise subprocess.CalledProcessError(child.returncode, command)
    told = [line for line in text.splitlines() if line.startswith("{")]
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, json.loads(told[-1]) if told else {})

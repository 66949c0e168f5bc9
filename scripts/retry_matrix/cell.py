"""One cell of the matrix: a client, a server of its own with a fault, and what the client did."""

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from typing import NamedTuple

# A client that has no result after this number of seconds is stopped.
LIMIT = 300
V1 = "/computeMetadata/v1"


class Cell(NamedTuple):
    # `ok`, or the class of the error.
    outcome: str
    requests: int
    seconds: float
    # What the client has written to standard error.
    log: str


class Server:
    """A server with the admin API, at free ports."""

    def __init__(self, program, folder):
        self.log = open(f"{folder}/server.log", "w")
        command = [program, "--port", "0", "--admin", "0", "--threads", "1"]
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        self.variables = {}
        while "GCE_METADATA_ADMIN" not in self.variables:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server did not start: {folder}/server.log")
            if found := re.match(r"export (\w+)=(.*)\n", line):
                self.variables[found[1]] = found[2].strip("'\"")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def admin(self, method, path, body=None):
        """The JSON of an answer of the admin API; None if it has no body."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.variables['GCE_METADATA_ADMIN']}/__admin/{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def journal(self, client, fault):
        """The requests of a client, once the journal has all that the fault has matched. It has a request when that ends."""
        for _ in range(300):
            requests = counted(client, self.admin("GET", "requests")["requests"])
            matched = 0
            if fault:
                matched = self.admin("GET", f"mappings/{fault}")["metadata"]["metadataServer"]["matched"]
            if len(requests) >= matched:
                return requests
            time.sleep(0.1)
        raise RuntimeError(f"the journal has {len(requests)} of {matched} requests that the fault has matched")


class Process:
    """A client. The first line that it prints is `started`, before its first request; then `ok` or `error CLASS`."""

    def __init__(self, command, environment, folder):
        self.log = open(f"{folder}/client.log", "w+")
        self.process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True
        )
        self.timer = threading.Timer(LIMIT, self.stop)
        self.timer.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.timer.cancel()
        self.stop()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def stop(self):
        """Stops the client with its children, which are in its session."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # It has ended, or it runs by sudo; the script of the guest agent has a limit of its own.
            pass

    def line(self):
        """The next line with the time at which it was printed; an empty line at the end."""
        line = self.process.stdout.readline().strip()
        return line, time.time()

    def written(self):
        self.log.seek(0)
        return self.log.read()

    def started(self):
        line, at = self.line()
        if line != "started":
            raise RuntimeError(f"the client did not start: {line} {self.written()}")
        return at


def counted(client, entries):
    """The requests for a token, or of the guest agent those for all metadata."""
    requests = [entry["request"] for entry in entries]
    paths = [urllib.parse.urlsplit(request["url"]).path.rstrip("/") for request in requests]
    wanted = V1 if client.is_guest else "/token"
    return [request for request, path in zip(requests, paths) if path.endswith(wanted)]


def result(requests, outcome, started, ended, log):
    """A cell. Its time begins with the first request."""
    begin = min((request["loggedDate"] / 1000 for request in requests), default=started)
    return Cell(outcome, len(requests), ended - begin, log)


def outcome_of(line):
    if line == "ok":
        return line
    return line.removeprefix("error ") if line.startswith("error ") else "no result"


def run(program, client, scenario, gate):
    """Runs a client against a scenario. The gate limits how many clients start at a time, because starts need the processor."""
    run_in = run_guest if client.is_guest else run_client
    with tempfile.TemporaryDirectory(prefix="retry-matrix-") as folder:
        return run_in(program, client, scenario, gate, folder)


def without_gcloud(folder):
    """A folder for PATH with a gcloud that fails: Node's library asks gcloud for the project, and gcloud asks for tokens too."""
    programs = f"{folder}/bin"
    os.mkdir(programs)
    with open(f"{programs}/gcloud", "w") as file:
        file.write("#!/bin/sh\nexit 1\n")
    os.chmod(f"{programs}/gcloud", 0o755)
    return programs


def run_client(program, client, scenario, gate, folder):
    with ExitStack() as stack:
        gate.acquire()
        # Released at the end too, if the start fails.
        release = stack.enter_context(Once(gate.release))
        server = stack.enter_context(Server(program, folder))
        fault = None
        if scenario.fault:
            fault = server.admin("POST", "mappings", {"request": client.request, **scenario.fault})["id"]
        if scenario.tokens:
            server.admin("PUT", "tokens/default", scenario.tokens)
        if scenario.not_ready:
            server.admin("POST", "settings", {"ready": False})
        environment = {
            "PATH": f"{without_gcloud(folder)}:{os.environ['PATH']}",
            "HOME": folder,
            "CLOUDSDK_CONFIG": folder,
            "NO_PROXY": "127.0.0.1",
            **server.variables,
            "METADATA_SERVER_DETECTION": "assume-present",
            "TOKENS": str(scenario.times),
            **client.environment,
        }
        process = stack.enter_context(Process(client.command, environment, folder))
        started = process.started()
        release()
        becomes_ready = threading.Timer(scenario.not_ready, server.admin, ["POST", "settings", {"ready": True}])
        if scenario.not_ready:
            becomes_ready.start()
        line, ended = process.line()
        becomes_ready.cancel()
        log = process.written()
        # Ends the client's requests, so that the journal has them.
        process.stop()
        cell = result(server.journal(client, fault), outcome_of(line), started, ended, log)
        return cell._replace(seconds=ended - started) if scenario.not_ready else cell


def run_guest(program, client, scenario, gate, folder):
    """The machine has its own server. Its script adds the fault and prints the journal."""
    environment = {"PATH": os.environ["PATH"], "HOME": folder}
    if scenario.fault:
        environment["FAULT"] = json.dumps({"request": client.request, **scenario.fault})
    if scenario.not_ready:
        environment["NOT_READY"] = str(scenario.not_ready)
    command = [program if word == "SERVER" else word for word in client.command]
    with ExitStack() as stack:
        gate.acquire()
        release = stack.enter_context(Once(gate.release))
        process = stack.enter_context(Process(command, environment, folder))
        started = process.started()
        release()
        line, ended = process.line()
        journal, _ = process.line()
        log = process.written()
    requests = counted(client, json.loads(journal.removeprefix("journal "))["requests"] if journal else [])
    cell = result(requests, outcome_of(line), started, ended, log)
    return cell._replace(seconds=ended - started) if scenario.not_ready else cell


class Once:
    """Calls a function once: when it is called, or at the end of a `with`."""

    def __init__(self, function):
        self.function = function

    def __call__(self):
        function, self.function = self.function, lambda: None
        function()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self()

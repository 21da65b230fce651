"""Checks the reference server against its OpenAPI document. Start it with tests/openapi/run."""

from __future__ import annotations

import collections
import copy
import json
import os
import pathlib
import subprocess
import sys
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BASE = "/api/v1"
SEED = os.environ.get("SEED", "1")


def main(program: str, directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    log_path = directory / "server.log"
    with open(log_path, "wb") as log:
        options = ["--listen", "127.0.0.1:0", "--store", "memory:", "--requests-per-minute", "off"]
        options += ["--trusted-proxy", "127.0.0.1"]
        server = subprocess.Popen([program, *options], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        base = server.stdout.readline().removeprefix("Serving ").strip()
        checks(base, directory)
    finally:
        server.terminate()
        status = server.wait(20)
    text = log_path.read_text(encoding="utf-8")
    assert status == 0, f"the server ended with {status}"
    assert "avala::audit" in text, "the server has logged nothing"
    for wrong in ("answering 500", "answering 503", "panicked"):
        assert wrong not in text, f"the server's log has {wrong!r}: {log_path}"


def checks(base: str, directory: pathlib.Path) -> None:
    account = {"email": "owner@example.com", "password": "correct horse battery staple"}
    key = call(base, "/signup/", None, account)["api_key"]
    uid = call(base, "/api-keys/", key)["results"][0]["uid"]
    document = call(base, "/openapi.json", None)
    environment = {"API_KEY": key, "KEY_UID": uid, "KNOWN": json.dumps(known(base, key))}

    tally = run("right", document, base, environment, directory)
    assert tally.code == 0, f"Schemathesis ended with {tally.code}; see above"
    # An operation without a valid call was not checked.
    for method, path, operation in operations(document):
        seen = tally.statuses[method, path]
        print(f"{method:5} {path:45} {' '.join(f'{status}:{count}' for status, count in sorted(seen.items()))}")
        documented = {int(status) for status in operation["responses"] if status.startswith("2")}
        assert documented & set(seen), f"{method} {path} was never answered with any of {documented}"
    call(base, "/users/me/permissions/", key)

    # The same with documents that are wrong in one place each.
    for name, failure, mangle in WRONG:
        wrong = copy.deepcopy(document)
        operation_id = mangle(wrong)
        tally = run(name, wrong, base, environment, directory, "--include-operation-id", operation_id)
        assert tally.code == 1 and failure in tally.output, f"a wrong document goes unnoticed: {name}\n{tally.output}"
        print(f"a wrong document is noticed: {name}")
    print("The server does what its document describes.")


def known(base: str, key: str) -> dict:
    """What the owner of the key has, by the paths that name it."""
    dataset = call(base, "/datasets/", key)["results"][0]
    task = call(base, "/tasks/", key)["results"][0]
    export = call(base, "/exports/", key, {"dataset": dataset["uid"]})
    paths = {
        "/datasets/{uid}/": {"uid": dataset["uid"]},
        "/datasets/{owner}/{slug}/items/": {"owner": dataset["owner_name"], "slug": dataset["slug"]},
        "/tasks/{uid}/": {"uid": task["uid"]},
        "/exports/{uid}/": {"uid": export["uid"]},
    }
    paths = {BASE + path: parameters for path, parameters in paths.items()}
    return {"paths": paths, "export": {"dataset": dataset["uid"]}}


class Tally:
    def __init__(self, code: int, output: str, lines: list[str]) -> None:
        self.code, self.output = code, output
        self.statuses: dict[tuple[str, str], collections.Counter] = collections.defaultdict(collections.Counter)
        for line in lines:
            method, path, status = line.split(" ")
            self.statuses[method, path][int(status)] += 1


def run(name: str, document: dict, base: str, environment: dict, directory: pathlib.Path, *more: str) -> Tally:
    path, tally = directory / f"{name}.json", directory / f"{name}.tally"
    path.write_text(json.dumps(document), encoding="utf-8")
    tally.write_text("", encoding="utf-8")
    command = [
        *(os.path.abspath(sys.executable), "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run", str(path)),
        *("--url", base.removesuffix(BASE)),
        *("--max-examples", os.environ.get("EXAMPLES", "40"), "--seed", SEED),
        *("--generation-database", "none", "--continue-on-failure", "--warnings", "off", "--no-color"),
        *more,
    ]
    environment = {
        **os.environ,
        **environment,
        "PYTHONPATH": str(HERE),
        "SEED": SEED,
        "SCHEMATHESIS_HOOKS": "hooks",
        "TALLY": str(tally),
    }
    # Schemathesis leaves what it needs to repeat a failure in this directory.
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if name == "right":
        print(output)
    return Tally(done.returncode, output, tally.read_text(encoding="utf-8").splitlines())


def without_404(document: dict) -> str:
    del document["paths"][f"{BASE}/datasets/{{owner}}/{{slug}}/items/"]["get"]["responses"]["404"]
    return "listItems"


def another_type(document: dict) -> str:
    document["components"]["schemas"]["Permissions"]["properties"]["is_staff_privileged"]["type"] = "string"
    return "readPermissions"


def another_limit(document: dict) -> str:
    parameters = document["paths"][f"{BASE}/projects/"]["get"]["parameters"]
    next(parameter for parameter in parameters if parameter["name"] == "limit")["schema"]["minimum"] = 5
    return "listProjects"


def without_authentication(document: dict) -> str:
    operation = document["paths"][f"{BASE}/openapi.json"]["get"]
    operation["security"] = [{"ApiKey": []}]
    operation["responses"]["401"] = {"$ref": "#/components/responses/Unauthorized"}
    return "readOpenApi"


def another_status(document: dict) -> str:
    document["components"]["schemas"]["Key"]["properties"]["status"]["enum"].remove("active")
    return "listKeys"


def without_400(document: dict) -> str:
    del document["paths"][f"{BASE}/api-keys/"]["post"]["responses"]["400"]
    return "createKey"


WRONG = [
    ("another-status-of-a-key", "Response violates schema", another_status),
    ("a-missing-status-of-the-console", "Undocumented status code", without_400),
    ("a-missing-status", "Undocumented status code", without_404),
    ("another-type", "Response violates schema", another_type),
    ("another-limit", "Schema-violating request accepted", another_limit),
    ("no-key-asked", "API accepts requests without authentication", without_authentication),
]


def operations(document: dict):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def call(base: str, path: str, key: str | None, body: dict | None = None) -> dict:
    request = urllib.request.Request(base + path, data=None if body is None else json.dumps(body).encode())
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if key is not None:
        request.add_header("X-Avala-Api-Key", key)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]).resolve())

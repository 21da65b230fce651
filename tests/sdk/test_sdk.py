"""The reference server as the real Avala Python SDK sees it. Start it with tests/sdk/run.

Signs up, makes a key of every kind over the JSON routes, calls everything the server has with each of them through the
SDK, and checks what comes back: results, exception classes, statuses, details. At the end, no secret may be in the
server's log at TRACE, nor in anything the SDK logged or raised. Runs once for each store.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime
import io
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from importlib.metadata import version

import httpx
import psycopg

import avala
from avala.errors import (
    AuthenticationError,
    AvalaError,
    ForbiddenError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from avala.types.account import SignupResponse
from avala.types.dataset import Dataset, DatasetItem
from avala.types.export import Export
from avala.types.project import Project
from avala.types.task import Task

MISSING = "Authentication credentials were not provided."
INVALID = "Invalid API key."
EXPIRED = "API key has expired."
FORBIDDEN = "You do not have permission to perform this action."
NOT_FOUND = "Not found."

checks = 0
captured = io.StringIO()  # Everything that the SDK logs, returns and raises.
issued: list[str] = []  # Every key and password that must not be seen again.


def check(passed: bool, message: object) -> None:
    global checks
    checks += 1
    if not passed:
        raise AssertionError(message)


def equal(got: object, wanted: object, what: str) -> None:
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def rejection(kind: type[AvalaError], status: int, message: str, call, what: str) -> AvalaError:
    """Calls, and checks that the call raises exactly this exception."""
    try:
        result = call()
    except AvalaError as error:
        captured.write(traceback.format_exc() + repr(error) + repr(vars(error)) + "\n")
        equal((type(error), error.status_code, error.message), (kind, status, message), what)
        return error
    raise AssertionError(f"{what}: no exception, but {result!r}")


# --- The stores -----------------------------------------------------------------------------------------------------

STORES = ("memory", "sqlite", "postgres")


@contextmanager
def place(store: str):
    """The URL of an empty store, which is gone at the end."""
    if store == "memory":
        yield "memory:"
    elif store == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            yield f"sqlite:{directory}/avala.db"
    else:
        server, schema = postgres(), f"avala_sdk_{secrets.token_hex(6)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
            try:
                yield f"{server}{'&' if '?' in server else '?'}options[search_path]={schema}"
            finally:
                connection.execute(f"DROP SCHEMA {schema} CASCADE")


def postgres() -> str:
    return os.environ.get("DATABASE_URL") or "postgres://postgres@127.0.0.1:5432/test"


def no_postgres() -> str | None:
    """Why there is none. A server that DATABASE_URL names is always used, and fails the run if it is not there."""
    if os.environ.get("DATABASE_URL"):
        return None
    try:
        psycopg.connect(postgres(), connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error).strip().splitlines()[0]
    return None


# --- The server -----------------------------------------------------------------------------------------------------


class Server:
    def __init__(self, program: str, store: str, log_path: str) -> None:
        self._log_path = log_path
        with open(log_path, "wb") as log:
            self._process = subprocess.Popen(
                [program, "--listen", "127.0.0.1:0", "--store", store],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "RUST_LOG": "trace"},
                text=True,
            )
        first = self._process.stdout.readline()
        if not first.startswith("Serving "):
            self.stop()
            raise AssertionError(f"the server did not start: {self.log()}")
        self.base = first.removeprefix("Serving ").strip()

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(timeout=30)

    def log(self) -> str:
        with open(self._log_path, encoding="utf-8") as log:
            return log.read()


@contextmanager
def serving(program: str, url: str, log_path: str):
    server = Server(program, url, log_path)
    try:
        yield server
    finally:
        server.stop()


class Keys:
    """Manages keys over the JSON routes, which the SDK does not have."""

    def __init__(self, base: str, owner: str) -> None:
        self._http = httpx.Client(headers={"X-Avala-Api-Key": owner}, timeout=30)
        self._url = f"{base}/api-keys/"

    def create(self, name: str, **fields: object) -> dict:
        return self._issued(self._http.post(self._url, json={"name": name, **fields}))

    def regenerate(self, uid: str) -> dict:
        return self._issued(self._http.post(f"{self._url}{uid}/regenerate/"))

    def revoke(self, uid: str) -> dict:
        response = self._http.post(f"{self._url}{uid}/revoke/")
        equal(response.status_code, 200, "revoke")
        return response.json()

    def list(self) -> list[dict]:
        response = self._http.get(self._url)
        equal(response.status_code, 200, "list of keys")
        return response.json()["results"]

    @staticmethod
    def _issued(response: httpx.Response) -> dict:
        equal(response.status_code, 201, "issue")
        equal(response.headers["cache-control"], "no-store", "a reply with a key")
        key = response.json()
        issued.append(key["api_key"])
        return key


# --- What is tried --------------------------------------------------------------------------------------------------


def sign_ups(base: str) -> tuple[SignupResponse, SignupResponse]:
    """Two users, through both forms of the SDK's signup, and what it raises: five attempts, and a sixth."""
    run = secrets.token_hex(4)
    password = f"password {secrets.token_hex(12)}"
    issued.append(password)
    ada, bob = f"ada-{run}@example.com", f"bob-{run}@example.com"

    def sign_up(email: str):
        return avala.signup(email=email, password=password, first_name="Ada", last_name="Byron", base_url=base)

    first = sign_up(ada)
    second = asyncio.run(avala.async_signup(email=bob, password=password, base_url=base))
    for response, email, name in ((first, ada, "Ada"), (second, bob, "")):
        issued.append(response.api_key)
        captured.write(repr(response.user))
        equal((response.user.email, response.user.first_name), (email, name), "the user")
        check(response.user.uid and response.user.username, "a user without a name")
        check(response.api_key.startswith("avk_"), "a key without the documented prefix")

    rejection(ValidationError, 400, "Email already registered.", lambda: sign_up(ada.upper()), "a taken email")
    error = rejection(ValidationError, 400, "HTTP 400", lambda: sign_up("nonsense"), "an invalid email")
    equal(error.body, {"detail": {"email": ["Enter a valid email address."]}}, "an invalid email")
    rejection(ValidationError, 400, "Email already registered.", lambda: sign_up(bob), "the fifth attempt")
    throttled(lambda: sign_up(f"carol-{run}@example.com"), "the sixth attempt")
    return first, second


def throttled(call, what: str) -> None:
    try:
        result = call()
    except RateLimitError as error:
        captured.write(traceback.format_exc() + repr(vars(error)) + "\n")
        check(isinstance(error.retry_after, float) and 1 <= error.retry_after <= 60, f"{what}: {error.retry_after!r}")
        wanted = f"Request was throttled. Expected available in {error.retry_after:.0f} seconds."
        equal((error.status_code, error.message), (429, wanted), what)
        return
    raise AssertionError(f"{what}: no exception, but {result!r}")


class Own:
    """What a user finds in their organization."""

    def __init__(self, client: avala.Client, username: str) -> None:
        self.owner = username
        self.dataset = client.datasets.list().items[0]
        self.project = client.projects.list().items[0]
        self.task = client.tasks.list().items[0]
        self.export = client.exports.create(dataset=self.dataset.uid)


def calls(own: Own, number: int) -> list[tuple[str, object, set[str], type]]:
    """Every call of the SDK that the server answers: its scopes, of which one is enough, and what it returns."""
    dataset, task, export = own.dataset, own.task, own.export
    read, projects = {"datasets.read"}, {"projects.read"}
    tasks, exports = {"tasks.read", "projects.read"}, {"exports.create"}

    def new(client):
        name = f"set-{number}"
        return client.datasets.create(name=name, slug=name, data_type="image", metadata={"a": 1}, owner_name="bob")

    return [
        ("datasets.list", lambda client: client.datasets.list(), read, Dataset),
        ("datasets.get", lambda client: client.datasets.get(dataset.uid), read, Dataset),
        ("datasets.list_items", lambda client: client.datasets.list_items(own.owner, dataset.slug), read, DatasetItem),
        ("datasets.create", new, {"datasets.write"}, Dataset),
        ("projects.list", lambda client: client.projects.list(), projects, Project),
        ("tasks.list", lambda client: client.tasks.list(project=own.project.uid), tasks, Task),
        ("tasks.get", lambda client: client.tasks.get(task.uid), tasks, Task),
        ("exports.create", lambda client: client.exports.create(project=own.project.uid), exports, Export),
        ("exports.get", lambda client: client.exports.get(export.uid), exports, Export),
        ("exports.wait", lambda client: client.exports.wait(export.uid, timeout=0), exports, Export),
    ]


SCOPES = ["datasets.read", "datasets.write", "projects.read", "tasks.read", "exports.create"]


def every_call_with_every_key(base: str, keys: Keys, own: Own) -> None:
    for number, scope in enumerate([None, *SCOPES]):
        access = {"full_access": True} if scope is None else {"scopes": [scope]}
        key = keys.create(f"for {scope}", **access)
        with avala.Client(key["api_key"], base_url=base) as client:
            for name, call, scopes, kind in calls(own, number):
                what = f"{name} with {scope or 'full access'}"
                if scope is None or scope in scopes:
                    result = call(client)
                    captured.write(repr(result) + "\n")
                    results = list(result) if hasattr(result, "items") else [result]
                    check(results and all(isinstance(one, kind) for one in results), f"{what}: {result!r}")
                else:
                    rejection(ForbiddenError, 403, FORBIDDEN, lambda call=call: call(client), what)
                equal(client.rate_limit_info["limit"], "100", what)


def results_agree(client: avala.Client, own: Own) -> None:
    dataset = client.datasets.get(own.dataset.uid)
    equal(dataset, own.dataset, "the dataset in the list and by itself")
    check(isinstance(dataset.created_at, datetime.datetime) and dataset.created_at.tzinfo is not None, dataset)
    items = client.datasets.list_items(own.owner, dataset.slug)
    equal(dataset.item_count, len(items), "the number of items")
    equal(own.task.project, own.project.uid, "the project of the task")
    equal(client.exports.get(own.export.uid), own.export, "the export, created and read")
    equal(own.export.status, "exported", "the export's status, at which the SDK stops waiting")

    whole = [item.uid for item in items]
    found, cursor, pages = [], None, 0
    while True:
        page = client.datasets.list_items(own.owner, dataset.slug, limit=2, cursor=cursor)
        found += [item.uid for item in page]
        pages += 1
        if not page.has_more:
            break
        cursor = page.next_cursor
    equal((found, pages), (whole, 2), "the items, page by page")
    back = client.datasets.list_items(own.owner, dataset.slug, limit=2, cursor=page.previous_cursor)
    equal([item.uid for item in back], whole[:2], "the first page, from the second")
    equal(client.tasks.list(status="nothing").items, [], "tasks with a status that none has")


def invalid_keys(base: str, keys: Keys) -> None:
    revoked = keys.create("revoked", full_access=True)
    equal(keys.revoke(revoked["uid"])["status"], "revoked", "status")
    old = keys.create("to be regenerated", scopes=["datasets.read"])
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    expired = keys.create("expired", full_access=True, expires_at=soon.isoformat(timespec="seconds"))

    with avala.Client(old["api_key"], base_url=base) as client:
        client.datasets.list()
        new = keys.regenerate(old["uid"])
        rejection(AuthenticationError, 401, INVALID, client.datasets.list, "a key that was regenerated")
    with avala.Client(new["api_key"], base_url=base) as client:
        client.datasets.list()
        rejection(ForbiddenError, 403, FORBIDDEN, client.projects.list, "a scope that the old key did not have")
    with avala.Client(revoked["api_key"], base_url=base) as client:
        error = rejection(AuthenticationError, 401, INVALID, client.datasets.list, "a revoked key")
        equal(error.body, {"detail": INVALID}, "the body that the SDK keeps")
        equal(client.rate_limit_info, {"limit": None, "remaining": None, "reset": None}, "no limits")
    for unknown in ("avk_" + "0" * 40, "0" * 40, "nonsense"):
        with avala.Client(unknown, base_url=base) as client:
            rejection(AuthenticationError, 401, INVALID, client.datasets.list, "an unknown key")
            rejection(AuthenticationError, 401, INVALID, lambda: client.projects.get("x"), "an unknown key, no route")
    with avala.Client("nothing", base_url=base) as client:
        # The SDK always sends a key.
        del client._transport._client.headers["X-Avala-Api-Key"]
        rejection(AuthenticationError, 401, MISSING, client.datasets.list, "no key")

    with avala.Client(expired["api_key"], base_url=base) as client:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                client.datasets.list()
                time.sleep(0.1)
            except AuthenticationError:
                break
        rejection(AuthenticationError, 401, EXPIRED, client.datasets.list, "an expired key")
    statuses = {key["uid"]: key["status"] for key in keys.list()}
    wanted = {revoked["uid"]: "revoked", old["uid"]: "revoked", new["uid"]: "active", expired["uid"]: "expired"}
    equal({uid: statuses[uid] for uid in wanted}, wanted, "the list of keys")


def what_is_not_there(client: avala.Client, other: Own) -> None:
    for call, what in [
        (lambda: client.datasets.get("nothing"), "a dataset that does not exist"),
        (lambda: client.datasets.get(other.dataset.uid), "a dataset of another user"),
        (lambda: client.datasets.list_items(other.owner, other.dataset.slug), "items of another user"),
        (lambda: client.tasks.get(other.task.uid), "a task of another user"),
        (lambda: client.exports.get(other.export.uid), "an export of another user"),
        (lambda: client.exports.create(dataset=other.dataset.uid), "an export of another user's dataset"),
        (lambda: client.webhooks.list(), "a route that the server does not have"),
    ]:
        rejection(NotFoundError, 404, NOT_FOUND, call, what)
    rejection(AvalaError, 405, 'Method "GET" not allowed.', client.exports.list, "a list that the server does not have")
    error = rejection(
        ValidationError,
        400,
        "HTTP 400",
        lambda: client.datasets.create(name="", slug="a b", data_type="image"),
        "an invalid dataset",
    )
    equal(error.body, {"detail": {"name": ["This field may not be blank."]}}, "an invalid dataset")


def the_limit(base: str, keys: Keys) -> None:
    key = keys.create("busy", scopes=["tasks.read"])
    with avala.Client(key["api_key"], base_url=base) as client:
        for remaining in range(99, -1, -1):
            client.tasks.list()
            info = client.rate_limit_info
            equal((info["limit"], info["remaining"]), ("100", str(remaining)), "limit and remaining")
            check(0 <= int(info["reset"]) - time.time() <= 61, f"reset: {info}")
        throttled(client.tasks.list, "the request after the hundredth")
        equal(client.rate_limit_info["remaining"], "0", "remaining")


async def the_async_client(base: str, keys: Keys, own: Own) -> None:
    key = keys.create("async", scopes=["datasets.read"])
    async with avala.AsyncClient(key["api_key"], base_url=base) as client:
        equal(await client.datasets.get(own.dataset.uid), own.dataset, "the dataset")
        try:
            await client.projects.list()
        except ForbiddenError as error:
            captured.write(traceback.format_exc() + repr(vars(error)) + "\n")
            equal((error.status_code, error.message), (403, FORBIDDEN), "the async client")
            return
    raise AssertionError("the async client: no exception")


# --- Secrets --------------------------------------------------------------------------------------------------------


def traces(text: str) -> list[str]:
    """Which issued secrets are in a text, whole, in large part, or in base64. Names none of them."""
    found = []
    for number, secret in enumerate(issued):
        body = secret.removeprefix("avk_").removeprefix("password ")
        forms = [body, body[:12], body[-12:], base64.b64encode(secret.encode()).decode().rstrip("=")]
        if any(form in text for form in forms):
            found.append(f"secret number {number}")
    return found


def no_secret_was_seen(log: str) -> None:
    check(len(issued) > 10 and len(set(issued)) == len(issued), "secrets to look for")
    # The searched text is complete: the finest level, requests of the SDK, its exceptions and its own log.
    check(" TRACE " in log, "the server's log has no TRACE line")
    for line in ("path=/api/v1/datasets/ outcome=accepted status=200", "outcome=expired status=401"):
        check(line in log, f"the server's log has no line with {line!r}")
    sdk = captured.getvalue()
    for text in ("HTTP Request: POST", "httpcore", "AuthenticationError", EXPIRED):
        check(text in sdk, f"nothing captured of the SDK has {text!r}")
    equal(traces(log), [], "secrets in the server's log")
    equal(traces(sdk), [], "secrets in what the SDK logged, returned and raised")
    # The search finds each secret where there is one.
    for secret in issued:
        for leak in (f"... {secret} ...", secret[-13:], base64.b64encode(secret.encode()).decode()):
            equal(len(traces(f"{log}{leak}")), 1, "secrets found in a log with one")


def what_a_restart_leaves(base: str, key: str, own: Own) -> None:
    with avala.Client(key, base_url=base) as client:
        equal(client.datasets.get(own.dataset.uid), own.dataset, "the dataset after a restart")
        equal(client.exports.get(own.export.uid), own.export, "the export after a restart")
    listed = {one["name"]: one for one in Keys(base, key).list()}
    equal(listed["revoked"]["status"], "revoked", "a revoked key after a restart")
    for name in ("busy", "async", *(f"for {scope}" for scope in SCOPES)):
        check(listed[name]["last_used_at"] is not None, f"the last use of {name} after a restart")
    equal(listed["never used"]["last_used_at"], None, "the last use of a key that was never used")


def everything(base: str) -> tuple[str, Own]:
    """The key of the first user, and what they own."""
    first, second = sign_ups(base)
    keys = Keys(base, first.api_key)
    with avala.Client(first.api_key, base_url=base) as ada:
        own = Own(ada, first.user.username)
        with avala.Client(second.api_key, base_url=base) as bob:
            other = Own(bob, second.user.username)
        results_agree(ada, own)
        what_is_not_there(ada, other)
    every_call_with_every_key(base, keys, own)
    asyncio.run(the_async_client(base, keys, own))
    invalid_keys(base, keys)
    the_limit(base, keys)
    keys.create("never used", full_access=True)
    return first.api_key, own


def run(program: str, store: str) -> None:
    global checks
    checks = 0
    issued.clear()
    captured.seek(0)
    captured.truncate()
    about = f"avala {version('avala')}, store {store}"
    try:
        with place(store) as url, tempfile.TemporaryDirectory() as logs:
            with serving(program, url, os.path.join(logs, "first")) as server:
                key, own = everything(server.base)
                log = ended(server)
            if store != "memory":
                with serving(program, url, os.path.join(logs, "second")) as server:
                    what_a_restart_leaves(server.base, key, own)
                    log += ended(server)
            no_secret_was_seen(log)
    except Exception:
        traceback.print_exc()
        print(f"sdk: FAILED after {checks} checks ({about})")
        sys.exit(1)
    print(f"sdk: {checks} checks passed, {len(issued)} secrets seen nowhere ({about})")


def ended(server: Server) -> str:
    """Stops the server and returns its log."""
    equal(server.stop(), 0, "the exit status of the server")
    return server.log()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("stores", nargs="*", help="memory, sqlite, postgres; all of them by default")
    options = parser.parse_args()
    os.environ["AVALA_ALLOW_INSECURE_BASE_URL"] = "true"
    for name in ("AVALA_API_KEY", "AVALA_BASE_URL"):
        os.environ.pop(name, None)
    logging.basicConfig(stream=captured, level=logging.DEBUG)
    logging.captureWarnings(True)

    for store in options.stores or STORES:
        if store not in STORES:
            parser.error(f"{store} is none of {', '.join(STORES)}")
        missing = no_postgres() if store == "postgres" and not options.stores else None
        if missing:
            print(f"sdk: postgres SKIPPED, since there is none: {missing}")
            continue
        run(options.program, store)


if __name__ == "__main__":
    main()

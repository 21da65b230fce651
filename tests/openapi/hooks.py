"""What Schemathesis cannot know of the reference server, and a tally of the responses.

A schema cannot require a new email or slug, a time in the future, or the name of something that exists. Requests that are
meant to be valid are made valid here; those that are meant to be invalid are left alone. KNOWN has what exists, and TALLY
names the file that gets one line for each response.
"""

import itertools
import json
import os
import random
import uuid

import schemathesis
from schemathesis import GenerationMode

known = json.loads(os.environ["KNOWN"])
numbers = itertools.count(1)
chance = random.Random(os.environ["SEED"])
tally = open(os.environ["TALLY"], "a", buffering=1, encoding="utf-8")


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(numbers)
    # Signups are limited by client, and the server trusts this header.
    case.headers["X-Forwarded-For"] = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
    # The key that makes all these calls must outlive them.
    uid = (case.path_parameters or {}).get("uid")
    if case.method != "GET" and uid == os.environ["KEY_UID"]:
        case.path_parameters["uid"] = str(uuid.uuid4())
    # So must what exists.
    if case.method == "DELETE" and any(uid == parameters.get("uid") for parameters in known["paths"].values()):
        case.path_parameters["uid"] = str(uuid.uuid4())
    meant_to_be_valid = case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE
    # Half of the time, so that unknown names are requested as well.
    known_this_time = chance.random() < 0.5
    if meant_to_be_valid and known_this_time and case.method != "DELETE" and case.path in known["paths"]:
        case.path_parameters.update(known["paths"][case.path])
    if meant_to_be_valid and isinstance(case.body, dict):
        body = dict(case.body)
        if isinstance(body.get("email"), str):
            body["email"] = f"{uuid.uuid4().hex}@example.com"
        if isinstance(body.get("slug"), str):
            body["slug"] = uuid.uuid4().hex
        elif "data_type" in body or case.path == "/api/v1/datasets/":
            body["name"] = f"{(body.get('name') or '')[:200]} {uuid.uuid4().hex}"
        if isinstance(body.get("expires_at"), str):
            body["expires_at"] = f"21{number % 100:02}-01-01T00:00:00Z"
        # Nor can it require no more than a key has.
        if case.method == "PATCH":
            for field in ("scopes", "allowed_networks", "expires_at"):
                body.pop(field, None)
        if case.path.endswith("/items/"):
            body["key"] = uuid.uuid4().hex
        # The key that makes all these calls must not expire.
        if isinstance(body.get("max_key_age_seconds"), (int, float)):
            body["max_key_age_seconds"] = max(body["max_key_age_seconds"], 1_000_000)
        if case.path == "/api/v1/exports/" and known_this_time:
            body = known["export"]
        case.body = body


@schemathesis.hook
def after_call(context, case, response):
    print(case.method, case.path, response.status_code, file=tally)

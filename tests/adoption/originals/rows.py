"""Prints rows as the libraries of other ecosystems write them, and the key of each, as JSON.

Each row has the columns of its table, times in seconds since the epoch. Laravel Sanctum is written in PHP: its rows are
made here by the scheme that its documentation and source describe.
"""
import asyncio
import binascii
import datetime
import hashlib
import json
import secrets
import string
import sys
import warnings

import bcrypt
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework_api_key"],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.hashers import get_hasher, make_password  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from keyshield.hasher.argon2 import Argon2ApiKeyHasher  # noqa: E402
from keyshield.repositories.in_memory import InMemoryApiKeyRepository  # noqa: E402
from keyshield.services.base import ApiKeyService  # noqa: E402
from rest_framework_api_key.models import APIKey  # noqa: E402

NOW = timezone.now()
HOUR = datetime.timedelta(hours=1)
PEPPER = "a pepper of the service"


def seconds(time):
    return int(time.timestamp()) if time else None


def django_rows():
    call_command("migrate", verbosity=0)

    def row(key, **more):
        key.refresh_from_db()
        names = ["id", "prefix", "hashed_key", "name", "revoked"]
        times = {"created": seconds(key.created), "expiry_date": seconds(key.expiry_date)}
        return {name: getattr(key, name) for name in names} | times | more

    valid, text = APIKey.objects.create_key(name="acme", expiry_date=NOW + HOUR)
    yield "valid", text, row(valid)
    # As version 2 wrote it, with Django's password hash. Few iterations keep the test fast.
    old, text = APIKey.objects.create_key(name="acme")
    hasher = get_hasher("pbkdf2_sha256")
    hasher.iterations = 5_000
    old.hashed_key = make_password(text, hasher=hasher)
    old.save()
    assert old.is_valid(text)
    old.hashed_key = make_password(text, hasher=hasher)
    old.save()
    yield "old_hash", text, row(old)
    expired, text = APIKey.objects.create_key(name="acme", expiry_date=NOW - HOUR)
    yield "expired", text, row(expired)
    revoked, text = APIKey.objects.create_key(name="acme", revoked=True)
    yield "revoked", text, row(revoked)


def sanctum_rows():
    """`PersonalAccessToken`: the client gets `id|token`, the table has the SHA-256 of the token."""
    letters = string.ascii_letters + string.digits

    def row(number, abilities, expires_at=None):
        entropy = "".join(secrets.choice(letters) for _ in range(40))
        token = entropy + f"{binascii.crc32(entropy.encode()):08x}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        columns = {
            "id": number,
            "tokenable_id": 7,
            "name": "laptop",
            "token": digest,
            "abilities": json.dumps(abilities),
            "last_used_at": seconds(NOW - HOUR),
            "expires_at": seconds(expires_at),
            "created_at": seconds(NOW - 24 * HOUR),
        }
        return f"{number}|{token}", columns

    yield "valid", *row(12, ["datasets.read"])
    yield "full", *row(13, ["*"])
    yield "expired", *row(14, ["*"], NOW - HOUR)


async def keyshield_rows():
    async def rows():
        service = ApiKeyService(repo=InMemoryApiKeyRepository(), hasher=Argon2ApiKeyHasher(pepper=PEPPER))
        for name, more in [
            ("valid", {"scopes": ["datasets.read"]}),
            ("expired", {"scopes": ["datasets.read"], "expires_at": NOW + HOUR}),
            ("inactive", {"scopes": ["datasets.read"], "is_active": False}),
        ]:
            entity, text = await service.create(name="acme", **more)
            if name == "expired":
                # The service makes no key that is expired.
                entity.expires_at -= 2 * HOUR
            columns = {
                "key_id": entity.key_id,
                "key_hash": entity.key_hash,
                "name": entity.name,
                "is_active": entity.is_active,
                "scopes": entity.scopes,
                "created_at": seconds(entity.created_at),
                "last_used_at": seconds(entity.last_used_at),
                "expires_at": seconds(entity.expires_at),
            }
            yield name, text, columns

    return [row async for row in rows()]


def bcrypt_rows():
    for name in ["valid", "disabled"]:
        prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(24)
        text = f"sk_live_{prefix}.{secret}"
        digest = bcrypt.hashpw(text.encode(), bcrypt.gensalt(6)).decode()
        yield name, text, {"prefix": prefix, "hash": digest, "customer": "acme", "disabled": name == "disabled"}


warnings.simplefilter("error")
schemes = {
    "django": list(django_rows()),
    "sanctum": list(sanctum_rows()),
    "keyshield": asyncio.run(keyshield_rows()),
    "bcrypt": list(bcrypt_rows()),
}
json.dump(
    {scheme: {name: {"key": key, "row": row} for name, key, row in rows} for scheme, rows in schemes.items()}, sys.stdout
)

"""keyshield with FastAPI, on SQLite: python keyshield_server.py DIRECTORY STORED USED [cached]

The random delay of 0.1 to 0.3 s that keyshield adds to each request is off.
"""

import asyncio
import os
import sys
import warnings

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from keyshield import ApiKeyService
from keyshield.api import create_depends_api_key
from keyshield.hasher.argon2 import Argon2ApiKeyHasher
from keyshield.repositories.sql import SqlAlchemyApiKeyRepository
from keyshield.services.cached import CachedApiKeyService
from sqlalchemy import event
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
import aiocache
import uvicorn

import common

directory, stored, used = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cached = sys.argv[4:] == ["cached"]
hasher = Argon2ApiKeyHasher(pepper="a pepper of the benchmark")
name = "keyshield_cached" if cached else "keyshield"
engine = create_async_engine(f"sqlite+aiosqlite:///{directory}/{name}.db")


@event.listens_for(engine.sync_engine, "connect")
def prepare(connection, _record) -> None:
    # By default, each request would wait until its time of use is on the disk.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


sessions = async_sessionmaker(engine, expire_on_commit=False)
cache = aiocache.SimpleMemoryCache()


def service(session) -> ApiKeyService:
    repository = SqlAlchemyApiKeyRepository(session)
    if cached:
        return CachedApiKeyService(repository, hasher, cache=cache, cache_ttl=3600, min_delay=0, max_delay=0)
    return ApiKeyService(repository, hasher, min_delay=0, max_delay=0)


async def services():
    async with sessions() as session, session.begin():
        yield service(session)


async def create_keys() -> list[str]:
    async with sessions() as session, session.begin():
        await SqlAlchemyApiKeyRepository(session).ensure_table(async_engine=engine)
        keys = service(session)
        made = [await keys.create(name=f"service {number}", scopes=["datasets:read"]) for number in range(stored)]
        made = [key for _, key in made[:: stored // used]]
        if cached:
            # One turn is too short to fill the cache.
            for key in made:
                await keys.verify_key(key)
    return made


warnings.simplefilter("ignore")
app = FastAPI()
header = APIKeyHeader(name="x-avala-api-key", auto_error=False)
security = create_depends_api_key(services, header, required_scopes=["datasets:read"])


@app.get("/datasets")
async def datasets(_key=Depends(security)):
    return JSONResponse({"ok": True})


async def main() -> None:
    keys, listener = await create_keys(), common.listen()
    common.when_input_ends(lambda: os._exit(0))
    common.announce(["keyshield", "fastapi", "uvicorn", "SQLAlchemy", "argon2-cffi"], listener, keys)
    await uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).serve(sockets=[listener])


asyncio.run(main())

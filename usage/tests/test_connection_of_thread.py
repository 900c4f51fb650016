"""It is Django's connection: in every thread, and while an event loop runs in one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from django.db import DEFAULT_DB_ALIAS, connections

from usage.prepared import connection_of_thread


def both():
    return connection_of_thread(), connections[DEFAULT_DB_ALIAS]


async def both_in_a_loop():
    return both()


def test_it_is_django_s():
    here, djangos = both()
    assert here is djangos
    with ThreadPoolExecutor(1) as threads:
        in_a_loop, djangos_there = threads.submit(asyncio.run, both_in_a_loop()).result()
        after, djangos_after = threads.submit(both).result()
    assert in_a_loop is djangos_there and after is djangos_after
    assert len({id(one) for one in (here, in_a_loop, after)}) == 3

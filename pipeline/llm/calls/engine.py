"""Buys answers once: looks in the store, and has what is not there bought directly or in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pipeline.llm.calls.answers import StoredAnswer
from pipeline.llm.calls.batch import Batches, Sizes
from pipeline.llm.calls.direct import Direct
from pipeline.llm.calls.endpoint import Endpoint
from pipeline.llm.calls.ledger import Ledger
from pipeline.llm.calls.together import Together
from pipeline.runtime.store import Store, store_key
from schemas.params import EndpointParams

T = TypeVar("T")
R = TypeVar("R")


def answer_key(kind: str, host: str, body: Mapping[str, Any], sample: int = 0, revision: str | None = None) -> str:
    """Return the store's key: all that an answer depends on, which is what is sent, to whom, and which draw.

    `revision` is that of weights which the model's name alone does not tell.
    """
    more = {"revision": revision} if revision else {}
    return store_key(kind, host=host, body=body, sample=sample, **more)


class Engine:
    """One endpoint, its ledger and a way to buy. `map` runs coroutines that ask by `answer`.

    `sizes` are those of batches, where `params.mode` is "batch". Raises EndpointStopped without a key, and a
    ClickException for a budget without a price.
    """

    def __init__(
        self,
        kind: str,
        params: EndpointParams,
        store: Store | None = None,
        revision: str | None = None,
        sizes: Sizes | None = None,
    ):
        self.kind, self.params, self.revision = kind, params, revision
        endpoint = Endpoint(params)
        self.ledger = Ledger(kind, params, endpoint, store or Store(), revision)
        self.way: Direct | Batches = Batches(self.ledger, sizes) if params.mode == "batch" else Direct(self.ledger)
        self._asking: dict[str, asyncio.Future[StoredAnswer]] = {}
        self._look_up = Together(self.ledger.store.get_many)

    @property
    def most_held(self) -> int:
        """How many results wait at most for one before them."""
        return self.way.stream.most_held

    def map(self, items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> Iterator[R]:
        """Yield `ask(item)` in order, many at once. Raises EndpointStopped when the endpoint cannot be used."""
        return self.way.stream.map(items, ask)

    def status(self) -> str:
        return self.ledger.describe_status()

    async def answer(self, body: Mapping[str, Any], sample: int = 0) -> StoredAnswer:
        """Return the stored answer to `body`, else buy it; equal questions side by side are bought once.

        `sample` tells apart equal questions that shall have answers of their own. Raises EndpointStopped.
        """
        key = answer_key(self.kind, self.ledger.endpoint.host, body, sample, self.revision)
        if (same := self._asking.get(key)) is not None:
            return await same
        self._asking[key] = promise = asyncio.get_running_loop().create_future()
        try:
            answer = await self._look_up_or_buy(key, body, sample)
            promise.set_result(answer)
            return answer
        except BaseException as fault:
            promise.set_exception(fault)
            promise.exception()  # retrieved: nobody may be waiting, and asyncio would complain
            raise
        finally:
            del self._asking[key]

    async def _look_up_or_buy(self, key: str, body: Mapping[str, Any], sample: int) -> StoredAnswer:
        snapshots = self.ledger.snapshots
        stored = await self._look_up(key)
        if stored is not None and snapshots.is_of_another(stored):
            if snapshots.rule == "new":
                snapshot = str(snapshots.newest)
                key = answer_key(self.kind, self.ledger.endpoint.host, body, sample, snapshot)
                snapshots.revisions[key] = snapshot
                stored = await self._look_up(key)
            elif why := snapshots.take_stored(stored):
                raise self.ledger.stop_run(why)
        if stored is not None:
            self.ledger.counts.from_store += 1
            return StoredAnswer(key, stored)
        bought = await self.way.buy(key, body, sample)
        if bought.stored is not None and (why := snapshots.take_reply(bought.stored)):
            raise self.ledger.stop_run(why)
        return bought

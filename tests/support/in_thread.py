"""A server of the tests, in a thread of this process."""

import asyncio
import contextlib
import threading


@contextlib.contextmanager
def in_thread(server):
    """Yield `server` while it listens; its `start()` is awaited in the thread's loop and returns an aiohttp runner."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

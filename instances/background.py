"""A runtime on an event loop of its own, in a thread: what synchronous calls wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from env.errors import PointsmanError
from instances.runtime import Runtime

R = TypeVar("R")


class Bridge:
    """Runs coroutines on the loop of a runtime, from other threads and other loops."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def wait(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """The result, waited for; an interrupted wait cancels the coroutine.

        Raises:
            PointsmanError: called from the runtime's own loop, which would wait for itself.
        """
        try:
            loop = self._runtime.loop
            if _running_loop() is loop:
                raise PointsmanError("a synchronous call on the runtime's own event loop; use aquery, achat or astream")
        except BaseException:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def on(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """The result, awaited from any loop."""
        try:
            loop = self._runtime.loop
        except BaseException:
            coroutine.close()
            raise
        if _running_loop() is loop:
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


class BackgroundRuntime:
    """A started runtime in a thread of its own. Close it, or use it as a context manager."""

    def __init__(self, build: Callable[[], Runtime]) -> None:
        """Build and start a runtime.

        Args:
            build: makes the runtime.

        Raises:
            PointsmanError: whatever building and starting it raises.
        """
        self.runtime = build()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pointsman-runtime", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.runtime.start(), self._loop).result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the runtime and its thread; safe to call twice."""
        if self._loop.is_closed():
            return
        try:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _stop(self) -> None:
        # Calls still under way are cancelled: the threads that wait for them would wait for ever.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.runtime.stop()
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

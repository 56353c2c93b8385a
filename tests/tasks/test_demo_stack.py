"""The demonstration's processes end with it, whenever it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from tasks.demo import stack


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_though_its_start_is_interrupted(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        """The signal arrives when the process is there and nobody has it in hand yet."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            os.kill(os.getpid(), number)

    def stop(*_: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(stack.subprocess, "Popen", Interrupted)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(SystemExit):
            stack.play(os.environ, "shell", seconds=60)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    [process] = started
    assert process.poll() is not None

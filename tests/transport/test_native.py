"""The wake-up between threads: none is lost, and many count as one."""

from __future__ import annotations

import select
import threading

from queueops.transport.native import Wake


def is_awake(wake: Wake) -> bool:
    return bool(select.select([wake.reader], [], [], 0)[0])


def test_a_set_wake_up_is_there_until_it_is_taken() -> None:
    wake = Wake()
    wake.set()
    assert is_awake(wake)
    wake.clear()
    assert not is_awake(wake)
    wake.set()
    assert is_awake(wake)
    wake.close()


def test_many_wake_ups_fill_nothing() -> None:
    wake = Wake()
    for _ in range(1_000_000):
        wake.set()
    wake.clear()
    assert not is_awake(wake)
    wake.close()


def test_no_wake_up_is_lost_between_threads() -> None:
    wake = Wake()
    turns, done = 20_000, 0
    asked = threading.Semaphore(0)

    def answer() -> None:
        for _ in range(turns):
            asked.acquire()
            nonlocal done
            done += 1
            wake.set()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    for turn in range(1, turns + 1):
        asked.release()
        while done < turn:
            # A lost wake-up would wait here for the whole second.
            assert select.select([wake.reader], [], [], 1)[0] or done >= turn
            wake.clear()
    thread.join()
    wake.close()

"""Waiting for something to become true, never for time to pass."""

import time


def eventually(what, condition, seconds=20.0):
    """Returns the first true answer of `condition()`; fails with `what` when none came within `seconds`.

    `what` is the sentence that should have become true; it may be a function, so that it can tell what there was instead.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)

"""Processes that share work: one way to start them, to give up what has not begun, and to say that one was ended."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from so2cam.core.errors import InputError


@contextmanager
def shared_among(
    jobs: int, workers: int, initializer: Callable[..., None], initargs: tuple[Any, ...], *, anew: bool
) -> Iterator[ProcessPoolExecutor]:
    """Give ``workers`` processes, of ``jobs`` asked for, that each begin with ``initializer``.

    ``anew``: they start from nothing, as users of OpenCV must, whose threads do not live on in a copy of this process.
    Raises InputError where one of them is ended from outside while this is entered.
    """
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn" if anew else None), initializer=initializer, initargs=initargs
    ) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise InputError(
                "a process that shared the work was ended from outside, for want of memory perhaps",
                key="--jobs",
                value=jobs,
                remedy="share the work among fewer processes",
            ) from None
        finally:
            # Nothing is left to do at a good end; after an error or Ctrl-C what has not begun is given up.
            pool.shutdown(wait=True, cancel_futures=True)

"""How many threads NumPy's linear algebra has: one.

The matrices here are small. A second thread gains nothing on them, and spins for a tenth of a second after each product
in wait for another: four images a second cost half a core so. Who wants another number sets the variable.
"""

import os
from collections.abc import MutableMapping
from typing import Final

VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def one_thread_for_algebra(environment: MutableMapping[str, str] = os.environ) -> None:
    """Give linear algebra one thread where nothing else is asked for, here and in processes that are started from here.

    To be called before NumPy is imported: it looks once.
    """
    for name in VARIABLES:
        environment.setdefault(name, "1")

"""No pauses of a running station by Python's garbage collection.

A full collection looks at every object there is; libraries alone bring hundreds of thousands, and a page waited for
half a second. What is there when the station starts stays until its end: it is left out of later collections.
"""

import gc


def keep_out_of_collections() -> None:
    """Leave what is in memory now out of later collections. To be called once, when everything is loaded."""
    gc.collect()
    gc.freeze()

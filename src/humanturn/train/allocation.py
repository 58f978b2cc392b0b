"""What happens to memory that a row of training frees: kept for the next row, or given back."""

import contextlib
import ctypes
import platform
from collections.abc import Iterator


@contextlib.contextmanager
def blocks(*, reused: bool) -> Iterator[None]:
    """How the C library (glibc; others go their own way) treats freed blocks meanwhile.

    Args:
        reused: kept for the next row, which asks for the same ones again (7 % of a step's time); otherwise each goes
            back to the system at once, and no more is taken than what is alive.
    """
    mmap_threshold, trim_threshold = -3, -1
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)

    def settle(own_map_from: int, give_back_from: int) -> None:
        library.mallopt(mmap_threshold, own_map_from)
        library.mallopt(trim_threshold, give_back_from)

    settle(*((1 << 30, (1 << 31) - 1) if reused else (1 << 20, 1 << 20)))
    try:
        yield
    finally:
        settle(32 << 20, 64 << 20)  # where glibc's own adapting thresholds end up
        library.malloc_trim(0)

"""Replace a private part of numba: how it looks for SciPy.

numba imports SciPy's linear algebra, where that is installed, as soon as anything is compiled: to see whether matrices
may be multiplied, which nothing here does. Another version than those of `fastscale.runtime.upstream` is used as it is:
only the start is slower. This ends when numba imports it where a compiled function multiplies matrices.
"""

from importlib import import_module

import numba.np.linalg

from fastscale.runtime.upstream import is_known


def leave_scipy_out() -> None:
    """Import the part of numba that looks for SciPy, and have it find none; call this before anything is compiled."""
    if not is_known("numba"):
        return
    look, numba.np.linalg.ensure_blas = numba.np.linalg.ensure_blas, _find_nothing
    try:
        import_module("numba.np.arraymath")
    finally:
        numba.np.linalg.ensure_blas = look


def _find_nothing() -> None:
    raise ImportError

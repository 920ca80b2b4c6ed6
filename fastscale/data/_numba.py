"""A replacement for a private part of numba: its search for SciPy.

When numba compiles its first function, it imports SciPy's linear algebra, if that is installed, to see whether compiled
code could multiply matrices; no compiled function of fastscale does. A version of numba other than those in
`fastscale.runtime.upstream` is left unchanged: only the start is slower then. This ends when numba imports SciPy only
for compiled functions that multiply matrices.
"""

from importlib import import_module

import numba.np.linalg

from fastscale.runtime.upstream import is_known


def leave_scipy_out() -> None:
    """Import the part of numba that looks for SciPy so that it finds none; call this before numba compiles anything."""
    if not is_known("numba"):
        return
    ensure_blas, numba.np.linalg.ensure_blas = numba.np.linalg.ensure_blas, _find_nothing
    try:
        import_module("numba.np.arraymath")
    finally:
        numba.np.linalg.ensure_blas = ensure_blas


def _find_nothing() -> None:
    raise ImportError

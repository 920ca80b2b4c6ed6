"""Exceptions that end a command early: a user's mistake, and a signal to stop."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A user's mistake, in one sentence: what was found, where, what is allowed and what to do."""

    def __str__(self) -> str:
        """Return the sentence on one line of printable characters; names and paths may hold others."""
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in super().__str__()
        )


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put the place of the mistake in front of a UserError that the block raises."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


class Stopped(Exception):
    """A signal to stop: finished work is kept, and the same command continues from there."""

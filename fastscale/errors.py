"""What ends a command early: a user's mistake, told in a sentence, or a signal that asks to stop."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input, told in one sentence: what was found, where, what is allowed and what to do."""

    def __str__(self) -> str:
        """The sentence on one line that any terminal can show, whatever the names and paths in it hold."""
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in super().__str__()
        )


@contextmanager
def within(place: str) -> Iterator[None]:
    """Have a UserError that is raised in here begin with the place of the mistake."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


class Stopped(Exception):
    """A signal asked to stop, and what was done so far is kept: run again, and it goes on from there."""

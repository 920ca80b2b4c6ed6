"""What ends a command early: a user's mistake, told in a sentence, or a signal that asks to stop."""


class UserError(Exception):
    """Bad input, told in one sentence: what was found, where, what is allowed and what to do."""


class Stopped(Exception):
    """A signal asked to stop, and what was done so far is kept: run again, and it goes on from there."""

"""The one exception that a user's mistake raises: a sentence, never a traceback."""


class UserError(Exception):
    """Bad input, told in one sentence: what was found, where, what is allowed and what to do."""

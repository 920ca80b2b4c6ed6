"""Tables, made from the rows of results."""

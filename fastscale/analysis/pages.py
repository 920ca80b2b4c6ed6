"""stub"""


def html(text, title):
    return text


def latex_table(header, lines, caption, label):
    return caption

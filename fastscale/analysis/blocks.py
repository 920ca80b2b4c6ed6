"""stub"""

from fastscale.analysis import style


def fig3():
    return style.panels(1, 4)[0]

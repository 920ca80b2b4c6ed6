"""stub"""

from fastscale.analysis.tables import Table


def table(sweep, results):
    return Table("Claims", ["none"], ["claim"], [])

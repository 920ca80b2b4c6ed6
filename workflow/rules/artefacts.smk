# What rules ask of artefacts: their records, their files, and what the report says of them.

from fastscale.sweep.catalogue import ARTEFACTS, caption, title


def found(artefact):
    """The records of an artefact that only a search can tell, for an input; all others are asked for at once."""
    searches, known = SWEEP.searches_of(artefact), set(SWEEP.records(artefact))

    def records(wildcards):
        for name in searches:
            checkpoints.search.get(search=name)
        return [path for path in current().records(artefact) if path not in known]

    return records if searches else []


def artefacts(*kinds):
    """The sweep's artefacts, with their records: one that was deleted is made again though its artefacts stand."""
    names = [name for name in SWEEP.artefacts if ARTEFACTS[name].kind in kinds]
    files = dict.fromkeys(path for name in names for path in (*SWEEP.artefacts[name], *SWEEP.records(name)))
    return list(files)


def alike(points, *reads):
    """The sweep's artefacts that read this of these points."""
    return [name for name in SWEEP.artefacts if (ARTEFACTS[name].points, SWEEP.reads(name)) == (points, reads)]


def reported(artefact, made):
    """The files of an artefact that `made` makes, for an output; the report shows the one that a browser draws."""
    kind, points = ARTEFACTS[artefact].kind, ARTEFACTS[artefact].points
    shown = {
        "category": "Claims" if artefact == "claims" else "Sweep" if points == "all" else f"{kind}s".capitalize(),
        "labels": {"artefact": title(artefact, digits=2), "shows": ARTEFACTS[artefact].caption.partition(".")[0]},
        "caption": f"../report/{artefact if len(made) > 1 else 'artefact'}.rst",
    }
    return [report(path, **shown) if path.suffix in (".svg", ".html") else path for path in SWEEP.artefacts[artefact]]


def captions(made):
    """What the report says of some artefacts and their records, for params."""

    def told(wildcards, input):
        records = {name: set(map(str, current().records(name))) & set(input) for name in made}
        return {name: caption(name, map(Path, records[name]), SWEEP.folder) for name in made}

    return told

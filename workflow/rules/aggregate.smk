# Each artefact is a target of its own name: `snakemake fig6` makes it, from just the records that it reads.


# Those that read the same records are made by one process; what reads no training waits for none.
GROUPS = {
    "overview": [*alike("all", "time", "error"), *alike("all", "error")],
    "timings": alike("all", "time"),
    "definitions": [name for name in alike("none") if name != "searches"],
}
GROUPED = [name for group in GROUPS.values() for name in group]
MADE = {name: [name] for name in SWEEP.artefacts if name not in GROUPED}


for name, made in (MADE | GROUPS).items():
    if made:

        rule:
            name:
                name
            input:
                sweep=SWEEP.description,
                records=SWEEP.records(made[0]),
                found=found(made[0]),
            output:
                [reported(artefact, made) for artefact in made],
            log:
                SWEEP.folder / f"logs/{name}.log",
            localrule: True
            params:
                artefacts=made,
                captions=captions(made),
            shell:
                "fastscale aggregate {params.artefacts} --sweep {input.sweep:q} > {log:q} 2>&1"


for name in GROUPED:

    rule:
        name:
            name
        input:
            SWEEP.artefacts[name],
        localrule: True


# All that needs no training and no timing, by one process: networks are counted as they are drawn.
COUNTED = [name for name in SWEEP.artefacts if ARTEFACTS[name].counted]


rule complexity:
    input:
        SWEEP.description,
    output:
        [SWEEP.in_scope(path, "complexity") for name in COUNTED for path in SWEEP.artefacts[name]],
    log:
        SWEEP.folder / "logs/complexity.log",
    localrule: True
    params:
        artefacts=COUNTED,
    shell:
        "fastscale aggregate {params.artefacts} --sweep {input:q} --complexity > {log:q} 2>&1"


# Those that this sweep lacks say so, where somebody asks for one.
for name in [name for name in ARTEFACTS if name not in SWEEP.artefacts]:

    rule:
        name:
            name
        input:
            absent(name),
        localrule: True

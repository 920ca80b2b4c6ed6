# Each artefact is a target of its own name: `snakemake fig6` makes it, from just the records that it reads.


for name, made in SWEEP_DAG.jobs.items():

    rule:
        name:
            name
        input:
            sweep=SWEEP.description,
            records=SWEEP_DAG.records(made[0]),
            found=lambda wildcards, first=made[0]: SWEEP_DAG.awaited_records(
                first, lambda search: checkpoints.search.get(search=search)
            ),
        output:
            [
                report(path, caption="../report/artefact.rst", **shown) if shown else path
                for path, shown in SWEEP_DAG.outputs(made)
            ],
        log:
            SWEEP.folder / f"logs/{name}.log",
        localrule: True
        params:
            artefacts=made,
            captions=lambda wildcards, input, made=made: SWEEP_DAG.captions(made, input),
        shell:
            "fastscale aggregate {params.artefacts} --sweep {input.sweep:q} > {log:q} 2>&1"


for name in SWEEP_DAG.grouped:

    rule:
        name:
            name
        input:
            SWEEP.artefacts[name],
        localrule: True


# All that needs no training and no timing, by one process: networks are counted as they are drawn.
rule complexity:
    input:
        SWEEP.description,
    output:
        [SWEEP.in_scope(path, "complexity") for name in SWEEP_DAG.counted for path in SWEEP.artefacts[name]],
    log:
        SWEEP.folder / "logs/complexity.log",
    localrule: True
    params:
        artefacts=SWEEP_DAG.counted,
    shell:
        "fastscale aggregate {params.artefacts} --sweep {input:q} --complexity > {log:q} 2>&1"


# Those that this sweep lacks say so, where somebody asks for one.
for name in SWEEP_DAG.absent:

    rule:
        name:
            name
        input:
            lambda wildcards, name=name: sys.exit(f"Error: {SWEEP.needs.why_absent(name)}"),
        localrule: True

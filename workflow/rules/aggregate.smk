# Each artefact is a target of its own name: `snakemake fig6` makes it, from the records that it reads and no others.


for name, artefacts in SWEEP_DAG.jobs.items():

    rule:
        name:
            name
        input:
            sweep=SWEEP.description,
            records=SWEEP_DAG.records(artefacts[0]),
            searched_records=lambda wildcards, first=artefacts[0]: SWEEP_DAG.awaited_records(
                first, lambda search: checkpoints.search.get(search=search)
            ),
        output:
            [
                report(path, caption="../report/artefact.rst", **options) if options else path
                for path, options in SWEEP_DAG.outputs(artefacts)
            ],
        log:
            SWEEP.folder / f"logs/{name}.log",
        localrule: True
        params:
            artefacts=artefacts,
            captions=lambda wildcards, input, artefacts=artefacts: SWEEP_DAG.captions(artefacts, input),
        shell:
            "fastscale aggregate {params.artefacts} --sweep {input.sweep:q} > {log:q} 2>&1"


for name in SWEEP_DAG.grouped:

    rule:
        name:
            name
        input:
            SWEEP.artefacts[name],
        localrule: True


# All artefacts that need no training and no timing, made by one process, which counts the networks itself.
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


# Artefacts that this sweep lacks end with a sentence that says so.
for name in SWEEP_DAG.absent:

    rule:
        name:
            name
        input:
            lambda wildcards, name=name: sys.exit(f"Error: {SWEEP.needs.why_absent(name)}"),
        localrule: True

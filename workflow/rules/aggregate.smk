# Each artefact is a rule of its own name: `snakemake fig6` makes it, from just the records that it reads.


for name, files in SWEEP.artefacts.items():

    rule:
        name:
            name
        input:
            sweep=SWEEP.description,
            records=SWEEP.records(name),
        output:
            files,
        log:
            SWEEP.folder / f"logs/{name}.log",
        localrule: True
        params:
            artefact=name,
        shell:
            "fastscale aggregate {params.artefact} --sweep {input.sweep:q} > {log:q} 2>&1"

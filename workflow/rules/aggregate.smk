# Each artefact is a rule of its own name: `snakemake fig6` makes it, from just the records that it reads.


for name, files in SWEEP.artefacts.items():

    rule:
        name:
            name
        input:
            sweep=SWEEP.description,
            records=records(name),
        output:
            files,
        log:
            SWEEP.folder / f"logs/{name}.log",
        localrule: True
        params:
            artefact=name,
        shell:
            "fastscale aggregate {params.artefact} --sweep {input.sweep:q} > {log:q} 2>&1"


# All that needs no training and no timing, by one process: networks are counted as they are drawn.
COUNTED = [name for name in SWEEP.artefacts if name.startswith("table") or name in ("fig1", "fig3", "fig11", "fig12")]
COUNTED += ["published", "networks"]


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

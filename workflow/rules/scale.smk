# From bases, strategies and scales to networks and their counts: pure arithmetic, so that one job does all of them. Those
# that rest on a search come when it has run. Nothing is trained from this record, as Snakemake looks no further at what
# depends on a job that runs: a wider sweep with a new recipe would miss the recipe.


localrules:
    scale,
    describe,


rule scale:
    input:
        sweep=SWEEP.description,
        found=lambda wildcards: [] if wildcards.source == FIXED else SWEEP.search_record(wildcards.source),
    output:
        SWEEP.network_record("{source}"),
    log:
        SWEEP.folder / "logs/scale/{source}.log",
    priority: 2
    shell:
        "fastscale networks {wildcards.source:q} --sweep {input.sweep:q} --record {output:q} > {log:q} 2>&1"


rule describe:
    output:
        SWEEP.description,
    log:
        SWEEP.folder / "logs/describe.log",
    priority: 2
    params:
        config=lambda wildcards: json.dumps(SWEEP.config),  # a function: no braces in a name are wildcards
    shell:
        "fastscale describe {output:q} --config {params.config:q} > {log:q} 2>&1"

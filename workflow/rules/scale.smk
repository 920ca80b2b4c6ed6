# From a base, a strategy and a scale to a network and its counts. A job for each network, not one for all: Snakemake looks
# no further at what depends on a job that runs, so that a wider sweep with a new recipe would miss the recipe.


localrules:
    scale,
    describe,


rule scale:
    output:
        SWEEP.network_record("{network}"),
    log:
        SWEEP.folder / "logs/scale/{network}.log",
    params:
        point=lambda wildcards: current().scale_arguments(wildcards.network),
    shell:
        "fastscale scale {params.point:q} --record {output:q} > {log:q} 2>&1"


rule describe:
    output:
        SWEEP.description,
    log:
        SWEEP.folder / "logs/describe.log",
    params:
        config=json.dumps(SWEEP.config),
    shell:
        "fastscale describe {output:q} --config {params.config:q} > {log:q} 2>&1"

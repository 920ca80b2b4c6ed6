# From bases, strategies and scales to networks and their counts: pure arithmetic, so that one job computes all of them.
# Networks that depend on a search follow in a record of their own when the search has run. Trainings do not depend on
# this record: Snakemake does not check again the params of jobs downstream of a running job, so that they would keep an
# old recipe.


rule scale:
    input:
        sweep=SWEEP.description,
        search_record=lambda wildcards: [] if wildcards.source == FIXED else SWEEP.search_record(wildcards.source),
    output:
        SWEEP.network_record("{source}"),
    log:
        SWEEP.folder / "logs/scale/{source}.log",
    priority: 2
    localrule: True
    shell:
        "fastscale networks {wildcards.source:q} --sweep {input.sweep:q} --record {output:q} > {log:q} 2>&1"


rule describe:
    output:
        SWEEP.description,
    log:
        SWEEP.folder / "logs/describe.log",
    priority: 2
    localrule: True
    params:
        config=lambda wildcards: json.dumps(SWEEP.config),  # a function: braces in a name are no wildcards
    shell:
        "fastscale describe {output:q} --config {params.config:q} > {log:q} 2>&1"

# A random search. Its candidates are drawn when the DAG is planned; the best candidate is known when all are trained.
# Jobs for the best candidate are planned only then, hence a checkpoint.


checkpoint search:
    input:
        sweep=SWEEP.description,
        records=lambda wildcards: SWEEP.needs.candidate_records(wildcards.search),
    output:
        SWEEP.search_record("{search}"),
    log:
        SWEEP.folder / "logs/search/{search}.log",
    priority: 2
    localrule: True
    shell:
        "fastscale search {wildcards.search:q} --sweep {input.sweep:q} > {log:q} 2>&1"

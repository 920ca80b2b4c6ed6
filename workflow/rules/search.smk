# A random search: its candidates are drawn when the DAG is planned; the best one is known once they are trained. What
# rests on it is planned then, hence a checkpoint.


localrules:
    search,


checkpoint search:
    input:
        sweep=SWEEP.description,
        records=lambda wildcards: SWEEP.needs.candidate_records(wildcards.search),
    output:
        SWEEP.search_record("{search}"),
    log:
        SWEEP.folder / "logs/search/{search}.log",
    priority: 2
    shell:
        "fastscale search {wildcards.search:q} --sweep {input.sweep:q} > {log:q} 2>&1"

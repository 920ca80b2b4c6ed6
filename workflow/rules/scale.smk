# All networks of the sweep at once: each takes a millisecond.


localrules:
    scale,


rule scale:
    output:
        SWEEP.description,
        list(map(SWEEP.network_record, SWEEP.networks)),
    log:
        SWEEP.folder / "logs/scale.log",
    params:
        config=json.dumps(SWEEP.config),
    shell:
        "fastscale expand --config {params.config:q} > {log:q} 2>&1"

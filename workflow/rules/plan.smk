# Prints what the sweep would cost. It has no output, so that it is printed each time.


rule plan:
    input:
        SWEEP.description,
    log:
        SWEEP.folder / "logs/plan.log",
    localrule: True
    shell:
        "fastscale plan --sweep {input:q} | tee {log:q}"

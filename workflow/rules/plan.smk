# Prints what the sweep would cost. It has no output, so that it is printed each time.


localrules:
    plan,


rule plan:
    input:
        SWEEP.description,
    log:
        SWEEP.folder / "logs/plan.log",
    shell:
        "fastscale plan --sweep {input:q} | tee {log:q}"

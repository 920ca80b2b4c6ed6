# What the sweep would cost, told on the terminal: nothing is made, so it is told anew each time.


localrules:
    plan,


rule plan:
    input:
        SWEEP.description,
    log:
        SWEEP.folder / "logs/plan.log",
    shell:
        "fastscale plan --sweep {input:q} | tee {log:q}"

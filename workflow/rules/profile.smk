# All networks are timed by one job, one after the other: on one device, under the same conditions. It claims all cores,
# so that nothing else of the DAG runs beside it, and computes on as many as a training does.


rule profile:
    input:
        # The name of a network record holds its hash: a newer one of the same name is the same.
        ancient(list(map(SWEEP.network_record, SWEEP.networks))),
    output:
        list(map(SWEEP.profile_record, SWEEP.networks)),
    log:
        SWEEP.folder / "logs/profile.log",
    benchmark:
        SWEEP.folder / "logs/profile.tsv"
    threads: SWEEP.config["train_threads"] if SWEEP.config["gpus"] else workflow.cores
    resources:
        cpus_per_task=SWEEP.config["train_threads"],
        gpu=min(1, SWEEP.config["gpus"]),
        runtime=240,
        mem_mb=16000,
    params:
        **SWEEP.config["profile"],
        folder=SWEEP.folder / "profile",
        threads=SWEEP.config["train_threads"],
        batch=SWEEP.config["recipe"].get("batch", 1024),
        device="cuda" if SWEEP.config["gpus"] else "cpu",
    shell:
        "fastscale profile {input:q} --out {params.folder:q} --batch {params.batch} --repeats {params.repeats}"
        " --images {params.images} --threads {params.threads} --device {params.device} > {log:q} 2>&1"

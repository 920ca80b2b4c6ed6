# One job times all networks, on a CPU in rounds that visit each of them: on one device, under the same conditions. It
# claims all cores, so that no other job of the DAG runs beside it, but computes on as many as a training does. Existing
# timings are kept: a wider sweep times its new networks, and three of the others to compare with.


rule profile:
    input:
        SWEEP.network_record("{source}"),
    output:
        update(SWEEP.profile_record("{source}")),
    log:
        SWEEP.folder / "logs/profile/{source}.log",
    benchmark:
        SWEEP.folder / "logs/profile/{source}.tsv"
    priority: 1  # without it, trainings would occupy all cores until the end
    threads: workflow.cores
    resources:
        cpus_per_task=SWEEP.config["train_threads"],
        gpu=SWEEP_DAG.profile_gpus,
        runtime=240,
        mem_mb=16000,
    params:
        **SWEEP.config["profile"],
        executions=SWEEP_DAG.executions,
        threads=SWEEP.config["train_threads"],
        batch=SWEEP.config["recipe"].get("batch", 1024),
        device="cuda" if SWEEP.config["gpus"] else "cpu",
    shell:
        "fastscale profile {input:q} --record {output:q} --batch {params.batch} --repeats {params.repeats}"
        " {params.executions} --largest-batch {params.largest_batch}"
        " --devices {params.devices} --threads {params.threads} --device {params.device} > {log:q} 2>&1"

# One job is one training. Its parameters hold the whole description of the network: a network that only has another
# name is not trained again. The time limit is estimated from timings where there are some: Slurm starts short jobs
# early. Checkpoints are no declared outputs, as Snakemake would delete them before a retry.


rule train:
    input:
        ancient(rules.data.output.description),  # a new hash of the data, not a new file, costs a training
        hash=lambda wildcards: checkpoints.data.get().output.hash,
    output:
        SWEEP.train_record("{network}", "{schedule}", "{trial}"),
    log:
        SWEEP.folder / "logs/train/{network}/{schedule}-{trial}.log",
    benchmark:
        SWEEP.folder / "logs/train/{network}/{schedule}-{trial}.tsv"
    threads: SWEEP.config["train_threads"]
    resources:
        cpus_per_task=SWEEP.config["train_threads"],  # for Slurm; `threads` is at most the cores of this machine
        gpu=SWEEP.config["gpus"],
        runtime=lambda wildcards: SWEEP_DAG.minutes(wildcards.network, wildcards.schedule, longest=1440),
        mem_mb=16000 * max(1, SWEEP.config["gpus"]),
    params:
        network=lambda wildcards: SWEEP_DAG.description(wildcards.network),
        data=SWEEP.data_folder,
        recipe=lambda wildcards: sorted_json(SWEEP.recipe(wildcards.schedule)),
        checkpoints=str(SWEEP.folder / "checkpoints/{network}/{schedule}-{trial}"),
        device="cuda" if SWEEP.config["gpus"] else "cpu",
    shell:
        "fastscale train {params.network:q} --data {params.data:q} --recipe {params.recipe:q}"
        " --schedule {wildcards.schedule:q} --trial {wildcards.trial} --checkpoints {params.checkpoints:q}"
        " --record {output:q} --threads {threads} --device {params.device} --ranks {resources.gpu} --warm > {log:q} 2>&1"

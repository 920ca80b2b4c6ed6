# One job is one training. Its network is given in full: one that has another name today is the same, and not trained anew.
# Where the network or others are timed, Slurm is told how long it takes: short jobs are backfilled early.
# Checkpoints are no declared outputs: Snakemake would delete them before a retry.


rule train:
    input:
        ancient(rules.data.output.description),  # of the data, the hash alone counts
        hash=lambda wildcards: checkpoints.data.get().output.hash,
    output:
        SWEEP.train_record("{network}", "{schedule}", "{trial}"),
    log:
        SWEEP.folder / "logs/train/{network}/{schedule}-{trial}.log",
    benchmark:
        SWEEP.folder / "logs/train/{network}/{schedule}-{trial}.tsv"
    threads: SWEEP.config["train_threads"]
    resources:
        cpus_per_task=SWEEP.config["train_threads"],  # Slurm's; threads is at most what this machine has
        gpu=SWEEP.config["gpus"],
        runtime=lambda wildcards: minutes(wildcards, longest=1440),
        mem_mb=16000 * max(1, SWEEP.config["gpus"]),
    params:
        network=lambda wildcards: described(wildcards.network),
        data=SWEEP.data_folder,
        recipe=lambda wildcards: plain(SWEEP.recipe(wildcards.schedule)),
        checkpoints=str(SWEEP.folder / "checkpoints/{network}/{schedule}-{trial}"),
        device="cuda" if SWEEP.config["gpus"] else "cpu",
    shell:
        "fastscale train {params.network:q} --data {params.data:q} --recipe {params.recipe:q}"
        " --schedule {wildcards.schedule:q} --trial {wildcards.trial} --checkpoints {params.checkpoints:q}"
        " --record {output:q} --threads {threads} --device {params.device} --ranks {resources.gpu} --warm > {log:q} 2>&1"

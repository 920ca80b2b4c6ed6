# One job trains one network: each trial in a job of its own, or all in one process where a start costs more than a
# short training (trials_together). Checkpoints are no declared outputs: Snakemake would delete them on a retry.

TOGETHER = SWEEP.config["trials_together"]


rule train:
    input:
        network=ancient(SWEEP.network_record("{network}")),
        data=rules.data.output.description,
    output:
        expand(
            SWEEP.train_record("{{network}}", "{{schedule}}", "{trial}"),
            trial=SWEEP.trials if TOGETHER else "{trial}",
        ),
    log:
        SWEEP.folder / "logs/train/{network}" / ("{schedule}.log" if TOGETHER else "{schedule}-{trial}.log"),
    benchmark:
        SWEEP.folder / "logs/train/{network}" / ("{schedule}.tsv" if TOGETHER else "{schedule}-{trial}.tsv")
    threads: SWEEP.config["train_threads"]
    resources:
        gpu=SWEEP.config["gpus"],
        runtime=1440,
        mem_mb=16000,
    params:
        folder=subpath(output[0], parent=True),
        data=SWEEP.data_folder,
        recipe=lambda wildcards: json.dumps(SWEEP.recipe(wildcards.schedule)),
        trials=lambda wildcards: [f"--trial {t}" for t in (SWEEP.trials if TOGETHER else [wildcards.trial])],
        checkpoints=SWEEP.folder / "checkpoints/{network}",
        device="cuda" if SWEEP.config["gpus"] else "cpu",
    shell:
        "fastscale train {input.network:q} --data {params.data:q} --recipe {params.recipe:q}"
        " --schedule {wildcards.schedule:q} {params.trials} --checkpoints {params.checkpoints:q}"
        " --out {params.folder:q} --threads {threads} --device {params.device} > {log:q} 2>&1"

# Jobs that last, by their parameters; each notes in `<name>.runs` when it begins and ends, and in which Slurm job.
localrules:
    quicks,


rule quick:
    output:
        "{name}.quick",
    shell:
        "echo $SLURM_JOB_ID > {output:q}"


rule quicks:
    input:
        expand("{i}.quick", i=range(config.get("jobs", 6))),


rule slow:
    output:
        "{name}.slow",
    params:
        seconds=config.get("seconds", 20),
    shell:
        "echo began $SLURM_JOB_ID >> {wildcards.name}.runs; sleep {params.seconds}; "
        "echo ended $SLURM_JOB_ID >> {wildcards.name}.runs; echo {params.seconds} > {output:q}"


# Its parameters are in no command: the configuration and the params that its code reads.
rule coded:
    output:
        "{name}.coded",
    params:
        word=config.get("word", "one"),
    run:
        import os, time

        with open(f"{wildcards.name}.runs", "a") as runs:
            print("began", os.environ["SLURM_JOB_ID"], file=runs, flush=True)
            time.sleep(config.get("seconds", 20))
            print("ended", os.environ["SLURM_JOB_ID"], file=runs)
        with open(output[0], "w") as file:
            print(params.word, file=file)


# Makes its output at once and fails in the end: its Snakemake then deletes the output.
rule failing:
    output:
        "{name}.failing",
    params:
        seconds=config.get("seconds", 20),
        code=config.get("code", 0),
    shell:
        "echo began $SLURM_JOB_ID >> {wildcards.name}.runs; echo {params.seconds} > {output:q}; sleep {params.seconds}; "
        "exit {params.code}"


rule source:
    output:
        "source.txt",
    localrule: True
    shell:
        "echo source > {output:q}"


rule derived:
    input:
        "source.txt",
    output:
        "derived.slow",
    params:
        seconds=config.get("seconds", 20),
    shell:
        "echo began $SLURM_JOB_ID >> derived.runs; sleep {params.seconds}; cp {input:q} {output:q}"


rule talkative:
    output:
        "talkative.txt",
    shell:
        "yes 0123456789012345678901234567890123456789 | head -c 200000000; exit 1"

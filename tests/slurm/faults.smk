# Jobs that last until they are let go: until there is a file named after their word, or after themselves. Each notes in
# `<name>.runs` when it begins and ends, and in which Slurm job.
WORD = config.get("word", "one")
WAIT = "for i in $(seq 1500); do [ ! -e {params.word}.go ] || break; sleep 0.2; done"


rule quick:
    output:
        "{name}.quick",
    shell:
        "echo ${{SLURM_JOB_ID:-local}} > {output:q}"


rule quicks:
    input:
        expand("{i}.quick", i=range(config.get("jobs", 6))),


rule slow:
    output:
        "{name}.slow",
    params:
        word=WORD,
    shell:
        "echo began ${{SLURM_JOB_ID:-local}} >> {wildcards.name}.runs; "
        "for i in $(seq 1500); do [ ! -e {params.word}.go -a ! -e {wildcards.name}.go ] || break; sleep 0.2; done; "
        "echo ended ${{SLURM_JOB_ID:-local}} >> {wildcards.name}.runs; echo {params.word} > {output:q}"


rule after:
    input:
        "{name}.slow",
    output:
        "{name}.after",
    shell:
        "cp {input:q} {output:q}"


# Its parameters are in no command: the configuration and the params that its code reads.
rule coded:
    output:
        "{name}.coded",
    params:
        word=WORD,
    run:
        import os, time

        with open(f"{wildcards.name}.runs", "a") as runs:
            print("began", os.environ["SLURM_JOB_ID"], file=runs, flush=True)
            while not os.path.exists(f"{params.word}.go"):
                time.sleep(0.1)
            print("ended", os.environ["SLURM_JOB_ID"], file=runs)
        with open(output[0], "w") as file:
            print(params.word, file=file)


# Makes its output at once and may fail in the end: its Snakemake then deletes the output.
rule failing:
    output:
        "{name}.failing",
    params:
        word=WORD,
        code=config.get("code", 0),
    shell:
        "echo began ${{SLURM_JOB_ID:-local}} >> {wildcards.name}.runs; echo {params.word} > {output:q}; " + WAIT + "; "
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
        word=WORD,
    shell:
        "echo began ${{SLURM_JOB_ID:-local}} >> derived.runs; " + WAIT + "; cp {input:q} {output:q}"


rule talkative:
    output:
        "talkative.txt",
    shell:
        "yes 0123456789012345678901234567890123456789 | head -c 200000000; exit 1"

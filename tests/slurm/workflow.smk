# A small workflow for the plugin's tests: no torch, seconds per job.
rule gpus:
    input:
        expand("gpu/{i}.txt", i=range(3)),


rule mixed:
    input:
        "failed.txt",
        "refused.txt",
        "fine.txt",


rule sleepers:
    input:
        expand("sleeper/{i}.txt", i=range(3)),


rule gpu:
    output:
        "gpu/{i}.txt",
    threads: 6
    resources:
        gpu=1,
        runtime=7,
        mem_mb=300,
        cpus_per_task=6,
    shell:
        "echo ${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID $CUDA_VISIBLE_DEVICES {threads} $SLURM_CPUS_PER_TASK > {output}"


rule failed:
    output:
        "failed.txt",
    shell:
        "echo the disk is on fire >&2; exit 7"


rule refused:
    output:
        "refused.txt",
    resources:
        slurm_partition="nowhere",
    shell:
        "touch {output}"


rule fine:
    output:
        "fine.txt",
    shell:
        "touch {output}"


rule sleeper:
    output:
        "sleeper/{i}.txt",
    resources:
        gpu=1,
    shell:
        "sleep 300; touch {output}"


rule slow:
    output:
        "slow.txt",
    shell:
        "sleep 6; touch {output}"


rule patients:
    input:
        expand("patient/{i}.txt", i=range(2)),


# Like a training: told to stop it keeps its count and ends with an error; the next life goes on from there.
rule patient:
    output:
        "patient/{i}.txt",
    resources:
        runtime=config.get("minutes", 10),
    params:
        worker=Path(workflow.basedir) / "worker.py",
        steps=config.get("steps", 100),
    shell:
        "python {params.worker:q} {output:q} {params.steps}"


# Takes memory for four seconds, as many MB as its parameter says.
rule hungry:
    output:
        "hungry.txt",
    resources:
        mem_mb=300,
    params:
        megabytes=config.get("megabytes", 250),
    shell:
        "python -c 'import time; kept = bytes(1) * ({params.megabytes} << 20); time.sleep(4)'; "
        "echo $SLURM_MEM_PER_NODE > {output:q}"


rule many:
    input:
        expand("small/{i}.txt", i=range(config.get("jobs", 60))),


# Small jobs go through Slurm in groups (--group-components), each of which starts one Snakemake.
rule small:
    output:
        "small/{i}.txt",
    group:
        "small"
    resources:
        mem_mb=50,
    shell:
        "echo $$ > {output:q}.pid; sleep 2; touch {output:q}"

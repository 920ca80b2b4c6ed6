# All networks are timed by one job, one after the other: on one device, under the same conditions. It claims all cores,
# so that nothing else of the DAG runs beside it, and computes on as many as a training does. A network that a search finds
# is timed by a job of its own, later.

TIMED = [network for network in SWEEP.networks if network not in SWEEP.found]
TIMING = dict(
    **SWEEP.config["profile"],
    folder=SWEEP.folder / "profile",
    threads=SWEEP.config["train_threads"],
    batch=SWEEP.config["recipe"].get("batch", 1024),
    device="cuda" if SWEEP.config["gpus"] else "cpu",
)


ruleorder: profile > profile_found


rule profile:
    input:
        # The name of a network record holds its hash: a newer one of the same name is the same.
        ancient(list(map(SWEEP.network_record, TIMED))),
    output:
        list(map(SWEEP.profile_record, TIMED)),
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
        **TIMING,
    shell:
        "fastscale profile {input:q} --out {params.folder:q} --batch {params.batch} --repeats {params.repeats}"
        " --images {params.images} --threads {params.threads} --device {params.device} > {log:q} 2>&1"


use rule profile as profile_found with:
    input:
        ancient(SWEEP.network_record("{network}")),
    output:
        SWEEP.profile_record("{network}"),
    log:
        SWEEP.folder / "logs/profile/{network}.log",
    benchmark:
        SWEEP.folder / "logs/profile/{network}.tsv"

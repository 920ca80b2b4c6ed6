# One folder of .beton files per data set and its settings, shared by all sweeps. The folder is written again when the
# name, size or time of an image has changed. A checkpoint: when the data is written, jobs that read it are planned
# again with its hash. Where only times have changed, the hash has not, and nothing is trained again.

from importlib.util import find_spec

from snakemake.exceptions import ResourceValidationError
from snakemake.io import IOFile

from fastscale.data import Dataset
from fastscale.planning.dag import check_images, sorted_json, state_of_images

# Only Snakemake knows which process is the main one, and in which state the images were packed. In jobs these functions
# do nothing: the main process has looked at the images.


@cache
def look_at_images():
    if workflow.is_main_process:
        on_nodes = not workflow.local_exec or (workflow.dryrun and workflow.resource_settings.nodes)
        with raised_as(ResourceValidationError):
            sys.stderr.write(check_images(SWEEP.config["data"], on_nodes))


@cache
def image_state(hash_file):
    if workflow.is_main_process:
        # Not by its name, which is another in a module of another workflow.
        output = IOFile(hash_file, rules.data.rule)
        return state_of_images(SWEEP.config["data"], lambda: workflow.persistence.params(output))


checkpoint data:
    output:
        hash=SWEEP.data_folder / "data.hash",
        train=SWEEP.data_folder / "train.beton",
        val=SWEEP.data_folder / "val.beton",
        description=SWEEP.data_folder / "data.json",
    log:
        SWEEP.data_folder / "data.log",
    priority: 3  # errors in the data are reported first
    threads: workflow.cores
    resources:
        cpus_per_task=SWEEP.config["train_threads"],
        runtime=lambda wildcards: look_at_images() or 240,  # in a resource: called only before the job runs
        mem_mb=8000,
    params:
        folder=SWEEP.data_folder,
        config=lambda wildcards: sorted_json(SWEEP.config["data"]),  # a function: braces in a path are no wildcards
        source=lambda wildcards: image_state(str(SWEEP.data_folder / "data.hash")),
    shell:
        "fastscale data {params.folder:q} --config {params.config:q} --threads {threads} > {log:q} 2>&1"


# Damaged files are reported before a job requests a GPU to read them.
onstart:
    if not find_spec("ffcv"):
        sys.stderr.write("Without FFCV: a plain loader reads the same images\n")
    if (SWEEP.data_folder / "data.json").exists():
        with raised_as(WorkflowError):
            Dataset.open(SWEEP.data_folder)

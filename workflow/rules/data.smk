# One folder of .beton files for each data set and its settings, shared by all sweeps. It is written again when an image
# has changed, by name, size or time. A checkpoint: what rests on the data is planned with it, and looked at again when
# its hash is known, as nothing is trained again for images that have been touched alone.

from importlib.util import find_spec

from snakemake.exceptions import ResourceValidationError
from snakemake.io import IOFile

from fastscale.data import Dataset
from fastscale.planning.dag import check_images, sorted_json, state_of_images

# What only Snakemake can tell of the images: who looks at them, and how they were when they were packed. Jobs need not
# look at each image again.


@cache
def look_at_images():
    if workflow.is_main_process:
        on_nodes = not workflow.local_exec or (workflow.dryrun and workflow.resource_settings.nodes)
        with raised_as(ResourceValidationError):
            sys.stderr.write(check_images(SWEEP.config["data"], on_nodes))


@cache
def image_state(written):
    if workflow.is_main_process:
        packed = IOFile(written, rules.data.rule)  # not by its name, which is another in a module of another workflow
        return state_of_images(SWEEP.config["data"], lambda: workflow.persistence.params(packed))


checkpoint data:
    output:
        hash=SWEEP.data_folder / "data.hash",
        train=SWEEP.data_folder / "train.beton",
        val=SWEEP.data_folder / "val.beton",
        description=SWEEP.data_folder / "data.json",
    log:
        SWEEP.data_folder / "data.log",
    priority: 3  # what is wrong with the data is told first
    threads: workflow.cores
    resources:
        cpus_per_task=SWEEP.config["train_threads"],
        runtime=lambda wildcards: look_at_images() or 240,  # a resource: looked at before a job runs, and only then
        mem_mb=8000,
    params:
        folder=SWEEP.data_folder,
        config=lambda wildcards: sorted_json(SWEEP.config["data"]),  # a function: no braces in a path are wildcards
        source=lambda wildcards: image_state(str(SWEEP.data_folder / "data.hash")),
    shell:
        "fastscale data {params.folder:q} --config {params.config:q} --threads {threads} > {log:q} 2>&1"


# Damaged files are told of before a job asks for a GPU to read them.
onstart:
    if not find_spec("ffcv"):
        sys.stderr.write("Without FFCV: a plain loader reads the same images\n")
    if (SWEEP.data_folder / "data.json").exists():
        with raised_as(WorkflowError):
            Dataset.open(SWEEP.data_folder)

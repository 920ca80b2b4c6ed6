# One folder of .beton files for each data set and its settings, shared by all sweeps. It is written again when an image
# has changed, by name, size or time. A checkpoint: what rests on the data is planned with it, and looked at again when
# its hash is known, as nothing is trained again for images that have been touched alone.

from importlib.util import find_spec

from snakemake.exceptions import ResourceValidationError
from snakemake.io import IOFile

from fastscale.data.sources import check_classes, source_state


@cache
def state_of_images(written):
    """What tells one state of the images from another; where they are gone, the one in which they were `written`.

    It takes a look at each of them, which jobs need not do again.
    """
    if not workflow.is_main_process:
        return None
    if state := source_state(SWEEP.config["data"]):
        return f"images {state}"
    recorded = workflow.persistence.params(IOFile(written, workflow.get_rule("data"))) or []
    return next((value.strip("'") for value in recorded if value.startswith("'images ")), "no images")


@cache
def within_reach():
    """Look at the images that are to be packed, for a resource: those are asked for first, and for what is to run.

    On a cluster the nodes may see a folder that this machine does not, or has nothing in.
    """
    if not workflow.is_main_process:
        return
    try:
        check_classes(SWEEP.config["data"])
    except UserError as error:
        path = SWEEP.config["data"].get("path")
        has_nodes = not workflow.local_exec or (workflow.dryrun and workflow.resource_settings.nodes)
        if not (has_nodes and path and not Path(path, "train").exists()):
            # The one error that Snakemake tells of a resource without a traceback.
            raise ResourceValidationError(error) from None
        sys.stderr.write(f"Warning: {error}, unless the nodes see what this machine does not\n")


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
        runtime=lambda wildcards: within_reach() or 240,
        mem_mb=8000,
    params:
        folder=SWEEP.data_folder,
        config=lambda wildcards: plain(SWEEP.config["data"]),  # a function: no braces in a path are wildcards
        source=lambda wildcards: state_of_images(str(SWEEP.data_folder / "data.hash")),
    shell:
        "fastscale data {params.folder:q} --config {params.config:q} --threads {threads} > {log:q} 2>&1"


# Damaged files are told of before a job asks for a GPU to read them.
onstart:
    if not find_spec("ffcv"):
        sys.stderr.write("Without FFCV: a plain loader reads the same images\n")
    if (SWEEP.data_folder / "data.json").exists():
        try:
            Dataset.open(SWEEP.data_folder)
        except UserError as error:
            raise WorkflowError(error) from None

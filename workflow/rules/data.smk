# One folder of .beton files for each data set and its settings, shared by all sweeps.


rule data:
    output:
        train=SWEEP.data_folder / "train.beton",
        val=SWEEP.data_folder / "val.beton",
        description=SWEEP.data_folder / "data.json",
    log:
        SWEEP.data_folder / "data.log",
    priority: 3  # what is wrong with the data is told first
    threads: workflow.cores
    resources:
        cpus_per_task=SWEEP.config["train_threads"],
        runtime=240,
        mem_mb=8000,
    params:
        folder=SWEEP.data_folder,
        config=plain(SWEEP.config["data"]),
    shell:
        "fastscale data {params.folder:q} --config {params.config:q} --threads {threads} > {log:q} 2>&1"


# Damaged files are told of before a job asks for a GPU to read them.
onstart:
    if (SWEEP.data_folder / "data.json").exists():
        try:
            Dataset.open(SWEEP.data_folder)
        except UserError as error:
            raise WorkflowError(error) from None

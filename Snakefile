# fastscale: bases are scaled by strategies; networks are timed and trained; their records become tables and figures.

from snakemake.utils import min_version

min_version("9.27")


if not workflow.configfiles:

    configfile: "config.yaml"


report: "workflow/report/sweep.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/scale.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/plan.smk"


rule all:
    default_target: True
    input:
        SWEEP_DAG.targets("table", "figure", "page"),


rule tables:
    input:
        SWEEP_DAG.targets("table"),


rule figures:
    input:
        SWEEP_DAG.targets("figure"),


onsuccess:
    sys.stderr.write(SWEEP_DAG.outcome())

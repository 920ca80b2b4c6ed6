# fastscale: every base x strategy x scale is scaled, profiled and trained; records become tables and figures.

from snakemake.utils import min_version

min_version("9.27")


if not workflow.configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/scale.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/aggregate.smk"


rule all:
    default_target: True
    input:
        SWEEP.artefacts.values(),


rule tables:
    input:
        [files for name, files in SWEEP.artefacts.items() if ARTEFACTS[name].kind == "table"],


rule figures:
    input:
        [files for name, files in SWEEP.artefacts.items() if ARTEFACTS[name].kind == "figure"],


localrules:
    all,
    tables,
    figures,

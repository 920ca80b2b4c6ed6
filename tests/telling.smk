# What a rule is told, each in a file: seen by a local Snakemake and by one inside a job it must be the same.
import json


def seen(**what):
    return repr({**what, "config": config})


rule words:
    output:
        "words/{first}.{second}.txt",
    params:
        seen=lambda wildcards, output: seen(wildcards=dict(wildcards), output=str(output)),
    resources:
        word="plain",
    shell:
        "printf '%s\n' {params.seen:q} {wildcards.first:q} {wildcards.second:q} {resources.word:q} {threads} > {output:q}"


rule grouped:
    output:
        "grouped/{first}.{second}.txt",
    group:
        "it's a $(group)/1"
    run:
        with open(output[0], "w") as file:
            print(seen(wildcards=dict(wildcards)), resources.get("word"), threads, file=file)


rule after:
    input:
        "grouped/{first}.{second}.txt",
    output:
        "after/{first}.{second}.txt",
    group:
        "it's a $(group)/1"
    shell:
        "cp {input:q} {output:q}"

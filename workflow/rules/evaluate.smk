rule evaluate:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        weights=weights_of_run,
        record=origin_of_run,
        others=other_networks,
    output:
        record=RUN.evaluation_record,
        examples=directory(RUN.examples_folder),
    log:
        PATHS.log("evaluate/{method}/seed{seed}"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="12h",
    params:
        **of_run(staleness.evaluation_inputs),
        trained=origin_spec,
        folder=run_folder,
    shell:
        "python -m bench evaluate --spec {params.spec:q} --train-spec {params.trained:q}"
        " --method {wildcards.method} --seed {wildcards.seed} --data {input.images}"
        " --folder {params.folder} > {log} 2>&1"


rule reference:
    input:
        images=ancient(PATHS.data),
        about=about_images,
    output:
        record=PATHS.reference("{name}").evaluation_record,
    log:
        PATHS.log("reference/{name}"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="12h",
    params:
        **of_experiment(staleness.reference_inputs),
        folder=lambda wildcards: PATHS.reference(wildcards.name).folder,
    shell:
        "python -m bench reference --name {wildcards.name} --spec {params.spec:q}"
        " --data {input.images} --folder {params.folder} > {log} 2>&1"

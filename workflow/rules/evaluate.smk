# Units of AutoAttack that several jobs make, and `evaluate` joins.
rule evaluate_part:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        weights=weights_of_run,
        record=origin_of_run,
        others=other_networks,
    output:
        temp(RUN.part("{part}", "{of}")),
    log:
        PATHS.log("evaluate/{method}/seed{seed}.{part}of{of}"),
    wildcard_constraints:
        part=r"\d+",
        of=r"\d+",
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        **of_run(staleness.evaluation_inputs),
        trained=origin_spec,
        folder=run_folder,
    shell:
        attempt(
            "evaluate --spec {params.spec:q} --train-spec {params.trained:q}"
            " --method {wildcards.method} --seed {wildcards.seed} --data {input.images}"
            " --folder {params.folder} --part {wildcards.part}/{wildcards.of}"
        )


rule evaluate:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        weights=weights_of_run,
        record=origin_of_run,
        others=other_networks,
        parts=parts_of_run,
    output:
        record=RUN.evaluation_record,
        examples=directory(RUN.examples_folder),
    log:
        PATHS.log("evaluate/{method}/seed{seed}"),
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        **of_run(staleness.evaluation_inputs),
        trained=origin_spec,
        folder=run_folder,
    shell:
        attempt(
            "evaluate --spec {params.spec:q} --train-spec {params.trained:q}"
            " --method {wildcards.method} --seed {wildcards.seed} --data {input.images}"
            " --folder {params.folder}"
        )


rule reference:
    input:
        images=ancient(PATHS.data),
        about=about_images,
    output:
        record=PATHS.reference("{name}").evaluation_record,
    log:
        PATHS.log("reference/{name}"),
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        **of_experiment(staleness.reference_inputs),
        folder=reference_folder,
    shell:
        attempt(
            "reference --name {wildcards.name} --spec {params.spec:q}"
            " --data {input.images} --folder {params.folder}"
        )

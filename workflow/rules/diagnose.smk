# Without diagnostics in the config no job of these rules is asked for, and there are no settings.
DIAGNOSED = EXPERIMENT.diagnostics is not None


# Both need the per-example results: a run that is not what its evaluation says is not diagnosed.
rule diagnose:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        weights=weights_of_run,
        trained=origin_of_run,
        evaluated=rules.evaluate.output.record,
        examples=rules.evaluate.output.examples,
    output:
        record=RUN.diagnostics_record,
        curves=RUN.curves,
        surfaces=RUN.surfaces,
    log:
        PATHS.log("diagnose/{method}/seed{seed}"),
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        **(of_method(staleness.diagnostics_inputs) if DIAGNOSED else NOTHING),
        folder=run_folder,
    shell:
        attempt(
            "diagnose --spec {params.spec:q} --method {wildcards.method}"
            " --seed {wildcards.seed} --data {input.images} --folder {params.folder}"
        )


rule transfer:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        runs=of_every_label,
    output:
        record=PATHS.transfer_record("{seed}"),
        table=PATHS.transfer("{seed}"),
    log:
        PATHS.log("transfer/seed{seed}"),
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        spec=transfer_param("spec"),
        code=transfer_param("code"),
        methods=labels_of_seed,
        folder=experiment_folder,
    shell:
        attempt(
            "transfer --spec {params.spec:q} --methods {params.methods}"
            " --seed {wildcards.seed} --data {input.images} --folder {params.folder}"
        )

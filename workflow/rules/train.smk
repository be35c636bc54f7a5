rule train:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        needed=needed_weights,
    output:
        weights=[RUN.weights(checkpoint) for checkpoint in CHECKPOINTS],
        history=RUN.history,
        record=RUN.train_record,
    log:
        PATHS.log("train/{method}/seed{seed}"),
    wildcard_constraints:
        method=TRAINED or "(?!)",
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        spec=train_spec,
        code=train_code,
        folder=run_folder,
        experiment=NAME,
    shell:
        attempt(
            "train --spec {params.spec:q} --experiment {params.experiment}"
            " --method {wildcards.method} --seed {wildcards.seed} --data {input.images}"
            " --folder {params.folder}"
        )

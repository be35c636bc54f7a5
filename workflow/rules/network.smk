# Weights that were trained elsewhere, in the place of a training.
rule network:
    input:
        images=ancient(PATHS.data),
        about=about_images,
        files=network_files,
    output:
        weights=RUN.weights("best"),
        record=RUN.network_record,
    log:
        PATHS.log("network/{method}/seed{seed}"),
    wildcard_constraints:
        method=EXTERNAL,
    priority: ready
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **REQUEST,
    params:
        spec=network_spec,
        code=network_code,
        folder=run_folder,
        experiment=NAME,
    shell:
        attempt(
            "network --spec {params.spec:q} --experiment {params.experiment}"
            " --method {wildcards.method} --data {input.images}"
            " --folder {params.folder}"
        )

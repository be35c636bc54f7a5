rule evaluate:
    input:
        images=ancient(IMAGES),
        about=about_images,
        best=rules.train.output.best,
        last=rules.train.output.last,
        record=rules.train.output.record,
    output:
        record=results("models/{method}/seed{seed}/evaluation.json"),
        verdicts=directory(results("models/{method}/seed{seed}/verdicts")),
    log:
        results("logs/evaluate/{method}/seed{seed}.log"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="12h",
    params:
        spec=evaluation_spec(),
        trained=train_spec,
        code=evaluation_code(),
        folder=run_folder,
    shell:
        "python -m bench evaluate --spec {params.spec:q} --train-spec {params.trained:q}"
        " --method {wildcards.method} --seed {wildcards.seed} --data {input.images}"
        " --folder {params.folder} > {log} 2>&1"


rule reference:
    input:
        images=ancient(IMAGES),
        about=about_images,
    output:
        record=results("reference/{name}/evaluation.json"),
    log:
        results("logs/reference/{name}.log"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="12h",
    params:
        spec=evaluation_spec(),
        code=reference_digest(),
        folder=run_folder,
    shell:
        "python -m bench reference --name {wildcards.name} --spec {params.spec:q}"
        " --data {input.images} --folder {params.folder} > {log} 2>&1"

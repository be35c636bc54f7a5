# Both need the verdicts: a run that is not what its evaluation says is not examined.
rule diagnose:
    input:
        images=ancient(IMAGES),
        about=about_images,
        best=rules.train.output.best,
        last=rules.train.output.last,
        trained=rules.train.output.record,
        judged=rules.evaluate.output.record,
        verdicts=rules.evaluate.output.verdicts,
    output:
        record=results("models/{method}/seed{seed}/diagnostics/record.json"),
        curves=results("models/{method}/seed{seed}/diagnostics/curves.csv"),
        surfaces=results("models/{method}/seed{seed}/diagnostics/surfaces.csv"),
    log:
        results("logs/diagnose/{method}/seed{seed}.log"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="4h",
    params:
        spec=diagnostics_spec(),
        code=diagnose_digest(EXPERIMENT.model.name),
        folder=examined_folder,
    shell:
        "python -m bench diagnose --spec {params.spec:q} --method {wildcards.method}"
        " --seed {wildcards.seed} --data {input.images} --folder {params.folder} > {log} 2>&1"


rule transfer:
    input:
        images=ancient(IMAGES),
        about=about_images,
        best=of_every_method("best.safetensors"),
        last=of_every_method("last.safetensors"),
        trained=of_every_method("train.json"),
        judged=of_every_method("evaluation.json"),
        verdicts=of_every_method("verdicts"),
    output:
        record=results("transfer/seed{seed}.json"),
        table=results("transfer/seed{seed}.csv"),
    log:
        results("logs/transfer/seed{seed}.log"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="4h",
    params:
        spec=diagnostics_spec(),
        code=transfer_digest(EXPERIMENT.model.name),
        methods=[method.label for method in EXPERIMENT.methods],
        folder=examined_folder,
    shell:
        "python -m bench transfer --spec {params.spec:q} --methods {params.methods}"
        " --seed {wildcards.seed} --data {input.images} --folder {params.folder} > {log} 2>&1"

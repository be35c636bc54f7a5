rule data:
    output:
        images=results("data.safetensors"),
        about=results("data.json"),
    log:
        results("logs/data.log"),
    conda:
        "../../environment.yml"
    params:
        spec=data_spec(),
        code=data_digest(),
        classes=EXPERIMENT.evaluation.least_classes,
    shell:
        "python -m bench data --spec {params.spec:q} --classes-at-least {params.classes}"
        " --out {output.images} > {log} 2>&1"

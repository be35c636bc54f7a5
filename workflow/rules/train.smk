rule train:
    input:
        images=ancient(IMAGES),
        about=about_images,
        start=start_weights,
    output:
        best=results("models/{method}/seed{seed}/best.safetensors"),
        last=results("models/{method}/seed{seed}/last.safetensors"),
        history=results("models/{method}/seed{seed}/history.csv"),
        record=results("models/{method}/seed{seed}/train.json"),
    log:
        results("logs/train/{method}/seed{seed}.log"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime="12h",
    params:
        spec=train_spec,
        code=train_code,
        folder=run_folder,
        experiment=NAME,
    shell:
        "python -m bench train --spec {params.spec:q} --experiment {params.experiment}"
        " --method {wildcards.method} --seed {wildcards.seed} --data {input.images}"
        " --folder {params.folder} > {log} 2>&1"

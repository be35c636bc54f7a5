# It downloads, which nodes of a cluster often cannot.
localrules:
    data,


# A checkpoint, so that what is downstream is looked at again once it has run: images that are read
# again and have the same fingerprint leave data.json with the same content, and retrain nothing.
checkpoint data:
    output:
        images=PATHS.data,
        about=PATHS.data_record,
    log:
        PATHS.log("data"),
    conda:
        "../../environment.yml"
    params:
        **of_experiment(staleness.data_inputs),
        files=listing_digest(EXPERIMENT.data),
        classes=EXPERIMENT.needs.classes,
        test_images=EXPERIMENT.needs.test_images,
    shell:
        "python -m bench data --spec {params.spec:q} --classes-at-least {params.classes}"
        " --test-images-at-least {params.test_images} --out {output.images} > {log} 2>&1"

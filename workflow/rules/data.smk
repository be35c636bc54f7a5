# A checkpoint, so that what is downstream is looked at again once it has run: the same images, read
# again from the same source, leave data.json with the same content, and retrain nothing.
checkpoint data:
    output:
        images=IMAGES,
        about=ABOUT_IMAGES,
    log:
        results("logs/data.log"),
    conda:
        "../../environment.yml"
    params:
        spec=data_spec(),
        code=data_digest(),
        files=listing_digest(EXPERIMENT.data),
        classes=EXPERIMENT.needs.classes,
        test_images=EXPERIMENT.needs.test_images,
    shell:
        "python -m bench data --spec {params.spec:q} --classes-at-least {params.classes}"
        " --test-images-at-least {params.test_images} --out {output.images} > {log} 2>&1"

# Seconds each, and no GPU: not worth a place in the queue of a cluster.
localrules:
    summary,
    default_summary,
    statistics,
    claims,
    ablations,
    tables,
    figures,
    report_page,


rule summary:
    input:
        origins=origins(),
        runs=of_every_run("evaluation_record"),
        diagnosed=of_every_diagnosed("diagnostics_record"),
        transferred=transfers(PATHS.transfer_record),
        references=references(),
        reported=own("config/reported.csv"),
        cards=own("config/robustbench.csv"),
    output:
        summary=report(PATHS.summary, category="Numbers"),
        costs=PATHS.costs,
        record=PATHS.analysis_record("summary"),
    log:
        PATHS.log("summary"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("summary"),
        spec=experiment_spec(),
    shell:
        "python -m bench summarize --spec {params.spec:q} --folder {params.folder}"
        " --reported {input.reported:q} --reference {input.cards:q} > {log} 2>&1"


rule default_summary:
    input:
        rules.summary.output.summary,
    output:
        PATHS.default_summary,
    log:
        PATHS.log("default_summary"),
    conda:
        "../../environment.yml"
    shell:
        "cp {input} {output} > {log} 2>&1"


rule statistics:
    input:
        summary=rules.summary.output.summary,
        examples=of_every_run("examples_folder"),
    output:
        PATHS.statistics,
        PATHS.analysis_record("statistics"),
    log:
        PATHS.log("statistics"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("statistics.table"),
    shell:
        "python -m bench statistics --folder {params.folder} > {log} 2>&1"


rule claims:
    input:
        summary=rules.summary.output.summary,
        costs=rules.summary.output.costs,
        histories=of_every_training("history"),
        runs=of_every_run("examples_folder"),
        claims=[local(path) for path in CLAIM_FILES],
    output:
        PATHS.claims,
        PATHS.table("claims", "md"),
        PATHS.analysis_record("claims"),
    log:
        PATHS.log("claims"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("claims.table"),
    shell:
        "python -m bench claims --folder {params.folder} --claims {input.claims:q}"
        " > {log} 2>&1"


rule ablations:
    input:
        summary=rules.summary.output.summary,
        examples=of_every_run("examples_folder"),
    output:
        PATHS.ablations,
        PATHS.table("ablations", "md"),
        PATHS.analysis_record("ablations"),
    log:
        PATHS.log("ablations"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("ablations"),
        spec=experiment_spec(),
    shell:
        "python -m bench ablations --spec {params.spec:q} --folder {params.folder} > {log} 2>&1"


rule tables:
    input:
        summary=rules.summary.output.summary,
        costs=rules.summary.output.costs,
    output:
        table_files(["md", "tex"]),
        costs=report(PATHS.table("costs", "csv"), category="Numbers"),
        csv=report(PATHS.table("comparison", "csv"), category="Numbers"),
        record=PATHS.analysis_record("tables"),
    log:
        PATHS.log("tables"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("tables"),
    shell:
        "python -m bench tables --folder {params.folder} > {log} 2>&1"


rule figures:
    input:
        summary=rules.summary.output.summary,
        histories=of_every_training("history"),
        runs=of_every_run("examples_folder"),
        diagnosed=[
            *of_every_diagnosed("diagnostics_record", "curves", "surfaces"),
            *transfers(),
            *transfers(PATHS.transfer_record),
        ],
        ablations=ablation_files()[:1],
        reported=own("config/reported.csv"),
        reference=own("config/robustbench.csv"),
    output:
        figure_files(["pdf", "png"]),
        shown=[report(path, category="Figures") for path in figure_files(["svg"])],
        record=PATHS.analysis_record("figures"),
    log:
        PATHS.log("figures"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("plots.draw", *FIGURE_MODULES),
        diagnosed=run_names(EXPERIMENT.diagnosed()),
    shell:
        "python -m bench figures --folder {params.folder} --reported {input.reported:q}"
        " --reference {input.reference:q} --diagnosed {params.diagnosed} > {log} 2>&1"


rule report_page:
    input:
        summary=rules.summary.output.summary,
        costs=rules.summary.output.costs,
        statistics=rules.statistics.output[0],
        claims=rules.claims.output[0],
        ablations=ablation_files()[:1],
        origins=origins(),
        runs=of_every_run("evaluation_record"),
        histories=of_every_training("history"),
        diagnosed=[
            *of_every_diagnosed("diagnostics_record", "curves", "surfaces"),
            *transfers(),
            *transfers(PATHS.transfer_record),
        ],
        reported=own("config/reported.csv"),
        reference=own("config/robustbench.csv"),
        citation=own("CITATION.cff"),
    output:
        PATHS.report,
        PATHS.analysis_record("report"),
    log:
        PATHS.log("report_page"),
    conda:
        "../../environment.yml"
    params:
        folder=experiment_folder,
        code=analysis_digest("report.page", *FIGURE_MODULES),
        texts=page_texts(),
        diagnosed=run_names(EXPERIMENT.diagnosed()),
    shell:
        "python -m bench report --folder {params.folder} --reported {input.reported:q}"
        " --reference {input.reference:q} --citation {input.citation:q}"
        " --diagnosed {params.diagnosed} > {log} 2>&1"

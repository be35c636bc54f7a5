rule summary:
    input:
        trained=of_every_run("train.json"),
        judged=of_every_run("evaluation.json"),
        diagnosed=of_every_examined("record.json"),
        transferred=transfers("json"),
        references=references(),
        reported=str(of_suite("config/reported.csv")),
        cards=str(of_suite("config/robustbench.csv")),
    output:
        summary=report(
            results("summary.csv"),
            caption="../report/summary.rst",
            category="Numbers",
        ),
        costs=results("costs.csv"),
    log:
        results("logs/summary.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_new_summary,
        code=analysis_code("summary"),
        spec=experiment_spec(),
    shell:
        "python -m bench summarize --spec {params.spec:q} --folder {params.folder}"
        " --reported {input.reported:q} --reference {input.cards:q} > {log} 2>&1"


rule default_summary:
    input:
        rules.summary.output.summary,
    output:
        "results/summary.csv",
    log:
        results("logs/default_summary.log"),
    conda:
        "../../environment.yml"
    shell:
        "cp {input} {output} > {log} 2>&1"


rule statistics:
    input:
        summary=rules.summary.output.summary,
        verdicts=of_every_run("verdicts"),
    output:
        results("statistics.csv"),
    log:
        results("logs/statistics.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_summary,
        code=analysis_code("statistics.table"),
    shell:
        "python -m bench statistics --folder {params.folder} > {log} 2>&1"


rule claims:
    input:
        summary=rules.summary.output.summary,
        costs=rules.summary.output.costs,
        histories=of_every_run("history.csv"),
        verdicts=of_every_run("verdicts"),
        claims=str(of_suite("config/claims.yaml")),
    output:
        results("claims.csv"),
        results("tables/claims.md"),
    log:
        results("logs/claims.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_summary,
        code=analysis_code("claims.table"),
    shell:
        "python -m bench claims --folder {params.folder} --claims {input.claims:q} > {log} 2>&1"


rule ablations:
    input:
        summary=rules.summary.output.summary,
        verdicts=of_every_run("verdicts"),
    output:
        results("ablations.csv"),
        results("tables/ablations.md"),
        multiext(results("figures/ablations"), ".pdf", ".png"),
        figure=report(
            results("figures/ablations.svg"),
            caption="../report/ablations.rst",
            category="Figures",
        ),
    log:
        results("logs/ablations.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_summary,
        code=analysis_code("ablations"),
        spec=experiment_spec(),
    shell:
        "python -m bench ablations --spec {params.spec:q} --folder {params.folder} > {log} 2>&1"


rule tables:
    input:
        summary=rules.summary.output.summary,
        costs=rules.summary.output.costs,
    output:
        table_files(["md", "tex"]),
        costs=report(
            results("tables/costs.csv"),
            caption="../report/costs.rst",
            category="Numbers",
        ),
        csv=report(
            results("tables/comparison.csv"),
            caption="../report/comparison.rst",
            category="Numbers",
        ),
    log:
        results("logs/tables.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_summary,
        code=analysis_code("tables"),
    shell:
        "python -m bench tables --folder {params.folder} > {log} 2>&1"


rule figures:
    input:
        summary=rules.summary.output.summary,
        histories=of_every_run("history.csv"),
        examined=[
            *of_every_examined("curves.csv"),
            *of_every_examined("surfaces.csv"),
            *transfers("csv"),
        ],
        reported=str(of_suite("config/reported.csv")),
        reference=str(of_suite("config/robustbench.csv")),
    output:
        figure_files(["pdf", "png"]),
        frontier=report(
            results("figures/frontier.svg"),
            caption="../report/frontier.rst",
            category="Figures",
        ),
        curves=report(
            results("figures/curves.svg"),
            caption="../report/curves.rst",
            category="Figures",
        ),
        components=report(
            results("figures/components.svg"),
            caption="../report/components.rst",
            category="Figures",
        ),
        remembered=report(
            results("figures/remembered.svg"),
            caption="../report/remembered.rst",
            category="Figures",
        ),
        examined=[examined_figure(name) for name in EXAMINED_FIGURES],
    log:
        results("logs/figures.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_summary,
        code=analysis_code("figures.draw"),
        diagnosed=run_names(EXPERIMENT.diagnosed()),
    shell:
        "python -m bench figures --folder {params.folder} --reported {input.reported:q}"
        " --reference {input.reference:q} --diagnosed {params.diagnosed} > {log} 2>&1"


rule report_page:
    input:
        summary=rules.summary.output.summary,
        costs=rules.summary.output.costs,
        statistics=rules.statistics.output,
        claims=rules.claims.output[0],
        ablations=ablation_numbers(),
        trained=of_every_run("train.json"),
        judged=of_every_run("evaluation.json"),
        histories=of_every_run("history.csv"),
        examined=[
            *of_every_examined("record.json"),
            *of_every_examined("curves.csv"),
            *of_every_examined("surfaces.csv"),
            *transfers("csv"),
            *transfers("json"),
        ],
        reported=str(of_suite("config/reported.csv")),
        reference=str(of_suite("config/robustbench.csv")),
        citation=str(of_suite("CITATION.cff")),
    output:
        results("report.html"),
    log:
        results("logs/report_page.log"),
    conda:
        "../../environment.yml"
    params:
        folder=folder_of_summary,
        code=analysis_code("report.page"),
        texts=page_texts(),
        diagnosed=run_names(EXPERIMENT.diagnosed()),
    shell:
        "python -m bench report --folder {params.folder} --reported {input.reported:q}"
        " --reference {input.reference:q} --citation {input.citation:q}"
        " --diagnosed {params.diagnosed} > {log} 2>&1"

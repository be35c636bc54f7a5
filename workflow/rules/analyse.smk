rule summary:
    input:
        trained=of_every_run("train.json"),
        judged=of_every_run("evaluation.json"),
        references=references(),
        reported="config/reported.csv",
        cards="config/robustbench.csv",
    output:
        summary=results("summary.csv"),
        costs=results("costs.csv"),
    log:
        results("logs/summary.log"),
    conda:
        "../../environment.yml"
    params:
        folder=results(""),
        runs=run_names(),
        names=list(EXPERIMENT.reference.models),
    shell:
        "python -m bench summarize --folder {params.folder} --reported {input.reported}"
        " --reference {input.cards} --runs {params.runs} --references {params.names}"
        " > {log} 2>&1"


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


rule tables:
    input:
        summary=rules.summary.output.summary,
    output:
        table_files(),
    log:
        results("logs/tables.log"),
    conda:
        "../../environment.yml"
    params:
        folder=results(""),
    shell:
        "python -m bench tables --folder {params.folder} > {log} 2>&1"


rule figures:
    input:
        summary=rules.summary.output.summary,
        histories=of_every_run("history.csv"),
        reported="config/reported.csv",
        reference="config/robustbench.csv",
    output:
        figure_files(),
    log:
        results("logs/figures.log"),
    conda:
        "../../environment.yml"
    params:
        folder=results(""),
    shell:
        "python -m bench figures --folder {params.folder} --reported {input.reported}"
        " --reference {input.reference} > {log} 2>&1"

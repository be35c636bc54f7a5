# The whole benchmark of one experiment: data, train, evaluate, diagnose, summary, statistics, claims,
# tables, figures, report.
#
#   snakemake --cores 8 --use-conda                           the paper's experiment
#   snakemake --cores 2 --configfile config/digits.yaml       minutes on a CPU

from snakemake.utils import min_version

min_version("9.0")


# A --configfile replaces the default experiment whole; merged, their methods would mix.
if not workflow.configfiles:

    configfile:
        str(
            workflow.current_basedir.join("config/paper.yaml").get_path_or_uri(
                secret_free=True
            )
        )


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/network.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/diagnose.smk"
include: "workflow/rules/analyse.smk"


rule all:
    default_target: True
    input:
        final_files(),

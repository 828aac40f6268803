"""One page on evaluated runs. Reads pictures of queries and nothing else; no network.

EvaluatedRun -> Experiment (training seeds together) -> sections of tables and figures
            -> HTML page, Markdown (report.md is the page on a single run), LaTeX
"""

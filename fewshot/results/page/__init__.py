"""One page over evaluated runs. Reads files of run folders only; no torch, no network.

run folders -> ReportedRun -> Experiment (training seeds together) -> sections of tables and figures
            -> HTML page, Markdown, LaTeX
"""

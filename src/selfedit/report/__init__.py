"""L4. From a run's ledger to tables with intervals, figures and one HTML page."""

from selfedit.report.pages.runs import build_report, print_summary, summary
from selfedit.report.run_data import read_run_data

__all__ = ["build_report", "print_summary", "read_run_data", "summary"]

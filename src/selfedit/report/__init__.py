"""L4. From a run's ledger to tables with intervals, figures and one HTML page."""

from selfedit.report.examples import examples
from selfedit.report.gains import gain_rows
from selfedit.report.tables import method_table, round_table
from selfedit.report.telling import build_report, print_summary, summary

__all__ = ["build_report", "examples", "gain_rows", "method_table", "print_summary", "round_table", "summary"]

"""Whether a table and its metadata keep to the profile ``dft_tracks``.

Rows are numbered from 0, as pandas and numpy do. The rules themselves are in ``rules.py``.
"""

import pyarrow as pa

from ..configs.errors import TrackFormatError
from .metadata import TrackMetadata
from .rules import Finding, metadata_problems, null_findings, row_findings
from .schema import conform, schema_problems

MAX_PER_RULE = 5


def problems(table: pa.Table, metadata: TrackMetadata) -> list[str]:
    """All that is wrong, in words; empty if nothing is.

    Of each rule's rows the first :data:`MAX_PER_RULE` are named, and the rest is counted in one further line.
    """
    texts, findings = _examine(table, metadata)
    for finding in findings:
        texts += [finding.message(row) for row in finding.rows[:MAX_PER_RULE]]
        rest = len(finding.rows) - MAX_PER_RULE
        if rest > 0:
            texts.append(f"column {finding.column}: {rest} more rows like row {finding.rows[0]}")
    return texts


def validate(table: pa.Table, metadata: TrackMetadata) -> None:
    """Refuse a table or metadata that does not keep to the profile.

    Raises:
        TrackFormatError: Names the first problem, and how many more there are.
    """
    texts, findings = _examine(table, metadata)
    total = len(texts) + sum(len(finding.rows) for finding in findings)
    if total == 0:
        return
    first = texts[0] if texts else findings[0].message(findings[0].rows[0])
    raise TrackFormatError(first + (f" (and {total - 1} more problems)" if total > 1 else ""))


def _examine(table: pa.Table, metadata: TrackMetadata) -> tuple[list[str], list[Finding]]:
    """Rows are looked at only where types and nulls are right: the rules need that."""
    texts = schema_problems(table.schema)
    if texts:
        return texts, []
    findings = null_findings(table)
    if findings:
        return [], findings
    texts = metadata_problems(metadata)
    return texts, row_findings(conform(table), metadata)

"""DocVQA: 5,349 questions on scanned documents (validation split), scored by ANLS."""

from __future__ import annotations

from evals.benchmarks._document_questions import document_benchmark

BENCHMARKS = {
    "docvqa": document_benchmark(
        "docvqa",
        "val_v1.0*.json",
        "rrc.cvc.uab.es, Document Visual Question Answering, task 1: val_v1.0.json (5,349 samples)",
        "image",
        "question_types",
        5349,
    )
}

"""InfographicVQA: 2,801 questions on infographics (validation split), scored by ANLS."""

from __future__ import annotations

from evals.benchmarks._document_questions import document_benchmark

BENCHMARKS = {
    "infovqa": document_benchmark(
        "infovqa",
        "infographicsVQA_val*.json",
        "rrc.cvc.uab.es, Document Visual Question Answering, task 3: infographicsVQA_val_v1.0.json (2,801 samples)",
        "image_local_name",
        "answer_type",
        2801,
    )
}

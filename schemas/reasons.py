"""Why a unit may leave a stage: one enum for the whole graph."""

from enum import StrEnum


class Reason(StrEnum):
    # queries
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    CHARACTERS = "characters"
    KEYWORD = "keyword"
    URL = "url"
    LANGUAGE = "language"
    PII = "pii"
    PROHIBITED = "prohibited"
    DUPLICATE = "duplicate"
    SIMILAR = "similar"
    BENCHMARK = "benchmark"
    SIMILAR_MEANING = "similar_meaning"
    NOT_SAMPLED = "not_sampled"
    UNREADABLE = "unreadable"
    # teacher and policy
    REFUSED = "refused"
    CONTENT_FILTER = "content_filter"
    TRUNCATED = "truncated"
    UNPARSED = "unparsed"
    GARBLED = "garbled"
    FAILED = "failed"
    REPLACED = "replaced"
    WITHHELD = "withheld"
    # refine
    NOT_VERIFIED = "not_verified"
    # d_sft
    NOT_REFINED = "not_refined"
    # pairs
    NO_FLAW = "no_flaw"
    NO_PAIR = "no_pair"
    FEEDBACK_OFF = "feedback_off"
    NO_PREFERENCE = "no_preference"
    UNBALANCED = "unbalanced"
    # ready sets
    LEAKED = "leaked"
    # arms
    NOT_TRAINED = "not_trained"
    # clips and rewards
    FAILED_TEXT_CHECK = "failed_text_check"
    PASSED_TEXT_CHECK = "passed_text_check"
    OVER_TOKEN_LIMIT = "over_token_limit"
    RENDER_FAILED = "render_failed"
    BAD_CLIP = "bad_clip"
    NO_SCORE = "no_score"
    DEGENERATE = "degenerate"


MENDABLE = frozenset({Reason.FAILED, Reason.RENDER_FAILED})
"""reasons that another day may mend: no answer came, so nothing is stored and it can be asked again"""
OF_A_MODEL = MENDABLE | {
    Reason.EMPTY, Reason.REFUSED, Reason.CONTENT_FILTER, Reason.TRUNCATED, Reason.UNPARSED, Reason.GARBLED,
    Reason.BAD_CLIP, Reason.NO_SCORE,
}  # fmt: skip
"""reasons that lie with a model or its host, of which many in a row mean that something is set up wrongly"""
